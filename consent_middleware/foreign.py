"""Where a page is inside SVG or MathML, whose rules of tokenizing differ: there `<style>` and `<title>` hold markup.

A much reduced tree construction (HTML Standard 13.2.6.5): only what changes how the next bytes are read. Getting it
wrong would let text that a browser takes for an attribute be taken for a tag.
"""

from __future__ import annotations

from typing import NamedTuple

from consent_middleware.words import words

_BREAKS_OUT = words(
    "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu "
    "meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var"
)
_SVG_TO_HTML = frozenset({"desc", "title", "foreignobject"})
_MATH_TO_HTML = frozenset({"mi", "mo", "mn", "ms", "mtext"})
_SVG_TAGS = words(
    "a animate animatemotion animatetransform circle clippath defs ellipse filter g image line lineargradient marker "
    "mask metadata mpath path pattern polygon polyline radialgradient rect set stop switch symbol text textpath tspan "
    "use view"
)
# Never open in a piece of HTML inside SVG: without an end tag, or ignored outside a table or a document.
_LEAVES_NOTHING_OPEN = words(
    "area base basefont bgsound body br caption col colgroup embed frame frameset head hr html image img input keygen "
    "link meta param source tbody td tfoot th thead tr track wbr"
)
_ENDS_A_PARAGRAPH = words(
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 "
    "h4 h5 h6 header hgroup hr li main menu nav ol p pre search section summary ul xmp"
)
# Browsers nest no deeper; looking further up would only cost time.
MAX_DEPTH = 512
_HTML_ENCODINGS = frozenset({"text/html", "application/xhtml+xml"})


class Open(NamedTuple):
    """An open element: of which namespace it is, and of which its content."""

    content: str  # "html", "svg" or "math"
    tag: str
    foreign: bool


class Foreign:
    """The open elements that matter: from the outermost SVG or MathML on, the HTML inside it included."""

    def __init__(self) -> None:
        self._open: list[Open] = []
        self.uncertain = False  # whether an end tag may have led out of here
        self.outer = 0  # how many elements were open around the last start tag's

    @property
    def open(self) -> bool:
        """Whether tags have to be followed at all."""
        return bool(self._open)

    @property
    def namespace(self) -> str:
        """Of the content here: "html", "svg" or "math"."""
        return self._open[-1].content if self._open else "html"

    def start(self, tag: str, self_closing: bool, attributes: dict[str, str]) -> bool:
        """A start tag. Returns whether its element is a foreign one."""
        here = self.namespace
        if here != "html" and (
            tag in _BREAKS_OUT or (tag == "font" and not attributes.keys().isdisjoint(("color", "face", "size")))
        ):
            self._leave()
            here = "html"
        self.outer = len(self._open)
        if here == "html":
            if tag not in ("svg", "math"):
                self._start_html(tag)
                return False
            if not self_closing:
                self._open.append(Open(tag, tag, True))
            return True
        if self_closing:
            return True
        content = here
        if here == "svg":
            content = "html" if tag in _SVG_TO_HTML else here
        elif tag == "annotation-xml":
            by_html = attributes.get("encoding", "").strip().lower() in _HTML_ENCODINGS
            content = "html" if by_html else here
        elif tag in _MATH_TO_HTML:
            content = "html"
        elif tag == "svg" and self._open[-1].tag == "annotation-xml":
            content = "svg"
        self._open.append(Open(content, tag, True))
        return True

    def _start_html(self, tag: str) -> None:
        """An HTML element inside SVG or MathML: while one is open, an end tag does not reach what is around it."""
        if not self._open or tag in _LEAVES_NOTHING_OPEN:
            return
        top = self._open[-1]
        if not top.foreign and ((top.tag == "p" and tag in _ENDS_A_PARAGRAPH) or top.tag == tag == "li"):
            self._open.pop()
        self.outer = len(self._open)
        self._open.append(Open("html", tag, False))

    def end(self, tag: str) -> None:
        """An end tag."""
        if not self._open:
            return
        if self.namespace != "html" and tag in ("p", "br"):
            self._leave()
            return
        below_foreign = True  # only foreign elements have been passed: their rules take any of them by its name
        passed_point = False  # HTML's rules look no further than to where HTML begins
        for depth in range(len(self._open) - 1, max(-1, len(self._open) - 1 - MAX_DEPTH), -1):
            element = self._open[depth]
            if element.foreign and not below_foreign and element.content == "html":
                return
            if not element.foreign:
                if passed_point:
                    return
                below_foreign = False
            if element.tag == tag and (below_foreign or not element.foreign):
                del self._open[depth:]
                self.uncertain = False
                return
            passed_point = passed_point or (element.foreign and element.content == "html")
        # Of an HTML element around an SVG that nobody closed, which ends it; or of nothing, which is ignored.
        self.uncertain = self.uncertain or not (passed_point or tag in _SVG_TAGS or tag.startswith("fe"))

    def cut(self, outer: int) -> None:
        """All but the `outer` outermost elements ended with what they stood in."""
        del self._open[outer:]

    def leave_for_certain(self) -> None:
        """A tag that breaks out was put here."""
        self._leave()

    def _leave(self) -> None:
        while self._open and self._open[-1].content != "html":
            self._open.pop()
        self.uncertain = False
