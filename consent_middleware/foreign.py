"""Where a page is inside SVG or MathML, whose rules of tokenizing differ: there `<style>` and `<title>` hold markup.

A much reduced tree construction (HTML Standard 13.2.6.5): only what changes how the next bytes are read. Getting it
wrong would let text that a browser takes for an attribute be taken for a tag.
"""

from __future__ import annotations

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
# Browsers nest no deeper; looking further up would only cost time.
MAX_DEPTH = 512
_HTML_ENCODINGS = frozenset({"text/html", "application/xhtml+xml"})


class Foreign:
    """The open foreign elements that matter: roots of SVG and MathML, and the points where HTML begins again."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []  # (namespace of the content, tag)
        self.uncertain = False  # whether an end tag may have led out of here

    @property
    def open(self) -> bool:
        """Whether tags have to be followed at all."""
        return bool(self._open)

    @property
    def namespace(self) -> str:
        """Of the content here: "html", "svg" or "math"."""
        return self._open[-1][0] if self._open else "html"

    def start(self, tag: str, self_closing: bool, attributes: dict[str, str]) -> bool:
        """A start tag. Returns whether its element is a foreign one."""
        here = self.namespace
        if here != "html" and (
            tag in _BREAKS_OUT or (tag == "font" and not attributes.keys().isdisjoint(("color", "face", "size")))
        ):
            self._leave()
            return False
        if here == "html":
            if tag not in ("svg", "math"):
                return False
            if not self_closing:
                self._open.append((tag, tag))
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
        elif tag == "svg" and self._open[-1][1] == "annotation-xml":
            content = "svg"
        self._open.append((content, tag))
        return True

    def end(self, tag: str) -> None:
        """An end tag."""
        if not self._open:
            return
        if self.namespace != "html" and tag in ("p", "br"):
            self._leave()
            return
        for depth in range(len(self._open) - 1, max(-1, len(self._open) - 1 - MAX_DEPTH), -1):
            if self._open[depth][1] == tag:
                del self._open[depth:]
                self.uncertain = False
                return
            if self._open[depth][0] == "html":
                return
        # Of an HTML element around an SVG that nobody closed, which ends it; or of nothing, which is ignored.
        self.uncertain = self.uncertain or not (tag in _SVG_TAGS or tag.startswith("fe"))

    def leave_for_certain(self) -> None:
        """A tag that breaks out was put here."""
        self._leave()

    def _leave(self) -> None:
        while self._open and self._open[-1][0] != "html":
            self._open.pop()
        self.uncertain = False
