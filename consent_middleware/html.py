"""HtmlGate: streams a page through, inserts head and body fragments, and makes third parties without consent inert.

Bytes in, bytes out; what is not touched comes out byte for byte, at the latest when the tag it belongs to is complete.
An element that would load something from a vendor without consent is wrapped, unchanged, into
`<template data-purpose=... data-vendor=...>`, which every browser parses and none runs. See docs/decisions/0020.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from consent_middleware.consent_mode import GOOGLE_LOADER, consent_mode
from consent_middleware.held import VOID, Held, Place
from consent_middleware.holding import Hold, Holder
from consent_middleware.inventory import storage_reporter
from consent_middleware.loading import LOADING_TAGS, host_of
from consent_middleware.markup import Markup, Piece, attributes_of
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_sections import Vendor
from consent_middleware.words import words

_WATCHED = LOADING_TAGS | {"html", "head", "body", "base", "template", "style", "noscript", "form"}
_HEAD_TAGS = words("html head title meta link base script style noscript template basefont bgsound noframes")
_DOCUMENT_TAGS = frozenset({"html", "head", "body", "title"})
_CAN_WAIT = {
    "html": LOADING_TAGS | {"base", "template", "style"},
    "svg": frozenset({"script", "image", "use", "feimage", "style"}),
    "math": frozenset[str](),
}
_WITH_PLACEHOLDER = frozenset({"iframe", "object", "embed", "video", "audio"})
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:^|;)\s*(?:width|height)\s*:\s*[01](?:px)?\s*(?:;|$)"
)
# Leaves SVG or MathML, as the tag behind it would have done; a template does not.
_BREAK_OUT = b"<span></span>"
# A script with one of these is not inline, or was classified by hand.
_OUTSIDE = re.compile(rb"\b(?:src|data-purpose)\b", re.IGNORECASE)
# Without any of these in it, no attribute of a tag can name another host or a purpose.
_ABROAD = re.compile(rb"/[\t\n\r]*/|[\\:&]|data-purpose", re.IGNORECASE)
# Text to browsers with scripts; to those without, the end of the wrapper that it stands in.
_TEMPLATE_END = re.compile(rb"</template", re.IGNORECASE)
# In these, ASCII bytes do not mean ASCII characters everywhere.
_UNREADABLE = re.compile(r"utf-?_?(?:16|32|7)|ucs-?2|unicode$|iso-?_?2022|csiso2022|hz|ebcdic|cp(?:037|500|1140)")


def readable(encoding: str) -> bool:
    """Whether a page in this charset can be rewritten; the others get the Content-Security-Policy only."""
    return _UNREADABLE.match(encoding.strip().lower()) is None


class HtmlGate:
    """One response's HTML. `feed` returns what may leave now, `close` the rest; any chunking gives the same bytes.

    `allows(purpose)` is the visitor's decision, `host` the request's. `head` goes before `</head>`, `body` before
    `</body>` (UTF-8), into whole documents only: a fragment of a page gets neither. `body` may be a function, called
    when the end of the body is reached. `placeholder(vendor, url)` gives the HTML to stand beside a held frame.
    `encoding` is the response's charset ("" when it names none). `undeclared(host)` hears of third parties that the
    policy does not know; they are held where it says `csp = "enforce"`. `once` names vendors shown this time only.
    `inline_allowed` is False where the site's own Content-Security-Policy may refuse inline code without a nonce.
    """

    def __init__(
        self,
        *,
        policy: PrivacyPolicy,
        allows: Callable[[str], bool],
        host: str,
        head: bytes = b"",
        body: bytes | Callable[[], bytes] = b"",
        placeholder: Callable[[Vendor, str], bytes] | None = None,
        encoding: str = "",
        nonce: str | None = None,
        undeclared: Callable[[str], None] | None = None,
        once: frozenset[str] = frozenset(),
        inline_allowed: bool = True,
    ) -> None:
        self._readable = readable(encoding)
        self._utf8 = encoding.strip().strip("\"'").lower() in {"utf-8", "utf8"}
        self._policy = policy
        self._allows = allows
        self._host = host
        self._holder = Holder(policy, allows, host, undeclared, once)
        self._placeholder = placeholder
        self._first = consent_mode(policy, allows, nonce, external=not inline_allowed)  # before any script
        self._head = head
        self._reporter = storage_reporter(policy, nonce)
        self._body = body
        self._markup = Markup(_WATCHED)
        self._ahead = 0  # bytes of the markup's unfinished rest that have left already
        self._held: Held | None = None  # the element that is being passed into its wrapper
        self._inline: list[bytes] | None = None  # an inline script, until it is known what it loads
        self._unwrapped: list[bool] = []  # the site's open templates: whether their tags are taken away
        self._in_form = False
        self._is_document = self._head_done = self._body_done = False

    def feed(self, chunk: bytes) -> bytes:
        """The next chunk of the response; returns what may leave."""
        return self._run(chunk, last=False) if self._readable else chunk

    def close(self) -> bytes:
        """The end of the response; returns what was held back and what had to be inserted at the end."""
        return self._run(b"", last=True) if self._readable else b""

    def abandon(self) -> bytes:
        """What was taken in and has not left, as it was: the way out when `feed` or `close` failed."""
        return b"".join(self._inline or ()) + self._markup.raw[self._ahead :]

    def _run(self, chunk: bytes, *, last: bool) -> bytes:
        markup = self._markup
        leaving: list[bytes] = []
        out = leaving if self._inline is None else self._inline
        cut = self._ahead  # bytes before it have left
        for piece in markup.pieces(chunk, last):
            if piece.kind == "start":
                cut = self._start(piece, cut, out)
                if self._is_inline_script(piece):
                    out.append(markup.raw[cut : piece.start])
                    cut = piece.start
                    out = self._inline = []
            elif piece.kind == "end" and self._inline is not None:
                out.append(markup.raw[cut : piece.end])
                cut = piece.end
                script, out, self._inline = b"".join(out), leaving, None
                out.append(self._inline_script(script))
            elif piece.kind == "end":
                cut = self._end(piece, cut, out)
            elif piece.kind == "noscript":
                content = markup.raw[piece.start : piece.end]
                clean = _TEMPLATE_END.sub(b"</template-", content) if self._held else self._for_no_script(content)
                out += (markup.raw[cut : piece.start], clean)
                cut = piece.end
            elif piece.kind == "unsure":
                cut = self._insert(piece.start, cut, out, _BREAK_OUT)
            else:
                self._is_document = True
        if last:
            out.append(markup.raw[cut : max(cut, markup.position)])
            out.append(self._finish())
            out.append(markup.raw[max(cut, markup.position) :])
            if out is not leaving:
                leaving += out
        else:
            safe = max(cut, markup.position + markup.certain_text())
            out.append(markup.raw[cut:safe])
            self._ahead = safe - markup.position
        markup.raw = markup.raw[markup.position :]
        return b"".join(leaving)

    def _start(self, piece: Piece, cut: int, out: list[bytes]) -> int:
        tag, raw = piece.tag, self._markup.raw
        if piece.forced and self._held is None:
            cut = self._insert(piece.start, cut, out, _BREAK_OUT)
        if self._held:
            if self._held.start(piece) is not Place.BEYOND:
                return cut
            cut = self._release(piece.start, cut, out)
        html = piece.namespace == "html"
        if html and not self._head_done:
            if tag in _DOCUMENT_TAGS:
                self._is_document = True
            if self._is_document:
                if tag not in _HEAD_TAGS:
                    cut = self._insert(piece.start, cut, out, self._take_head())
                elif tag == "script" and self._first:
                    cut = self._insert(piece.start, cut, out, self._take_first())
            elif tag not in _HEAD_TAGS:
                self._markup.watch_all = False
        if tag == "form":
            self._in_form = self._in_form or html
            return cut
        if tag not in _CAN_WAIT[piece.namespace]:
            return cut
        if not self._holder.base and _ABROAD.search(raw, piece.start, piece.end) is None:
            if tag == "template" and html:
                self._unwrapped.append(False)
            return cut
        attributes = attributes_of(raw[piece.start : piece.end])
        if tag == "template" and html:
            unwrap = self._allows(attributes.get("data-purpose", "").strip()) if "data-purpose" in attributes else False
            self._unwrapped.append(unwrap)
            return self._replace(piece, cut, out, b"") if unwrap else cut
        if tag == "base":
            base = attributes.get("href", "") if html and not self._holder.base else ""
            if host_of(base):
                self._holder.base = base
            return cut
        hold = self._holder.check(tag, attributes)
        return self._hold(hold, piece, attributes, cut, out) if hold is not None else cut

    def _end(self, piece: Piece, cut: int, out: list[bytes]) -> int:
        tag = piece.tag
        if self._held:
            place = self._held.end(piece, bool(self._unwrapped))
            if place is Place.LAST:
                return self._release(piece.end, cut, out)
            if place is Place.DROPPED:
                return self._replace(piece, cut, out, b"")
            if place is Place.INSIDE:
                return cut
            self._markup.cut(self._held.outer)
            cut = self._release(piece.start, cut, out)
        if piece.namespace != "html":
            return cut
        if tag == "template":
            return self._replace(piece, cut, out, b"") if self._unwrapped and self._unwrapped.pop() else cut
        if tag == "form":
            self._in_form = False
            return cut
        if tag == "head" and self._is_document:
            return self._insert(piece.start, cut, out, self._take_head())
        if tag in ("body", "html") and self._is_document:
            return self._insert(piece.start, cut, out, self._take_head() + self._take_body())
        return cut

    def _hold(self, hold: Hold, piece: Piece, attributes: dict[str, str], cut: int, out: list[bytes]) -> int:
        raw = self._markup.raw
        out.append(raw[cut : piece.start])
        opening, closing = hold.opening(), b"</template>"
        if piece.broke_out:
            out.append(_BREAK_OUT)
        if piece.namespace == "svg":
            # A template is only inert as an HTML element: <desc> is where HTML begins inside SVG.
            opening, closing = b"<desc>" + opening + b"<svg>", b"</svg></template></desc>"
        elif piece.tag == "frame":
            # A frameset takes no template: the frame stays, without its address.
            out.append(b"<frame>")
            return piece.end
        elif self._takes_placeholder(piece.tag, attributes) and hold.vendor and self._placeholder:
            opening = self._encoded(self._placeholder(hold.vendor, hold.url)) + opening
        out.append(opening)
        if (piece.tag in VOID and piece.namespace == "html") or (piece.self_closing and piece.namespace != "html"):
            out += (raw[piece.start : piece.end], closing)
            return piece.end
        self._held = Held(piece.tag, piece.namespace, closing, self._markup.outer)
        self._markup.watch_all = True
        return piece.start

    def _release(self, at: int, cut: int, out: list[bytes]) -> int:
        """The held element ends at a place."""
        assert self._held is not None
        out += (self._markup.raw[cut:at], self._held.closing)
        self._held = None
        self._markup.watch_all = not self._head_done
        return at

    def _takes_placeholder(self, tag: str, attributes: dict[str, str]) -> bool:
        # A placeholder holds a form, and a form inside one of the site's would end it.
        return tag in _WITH_PLACEHOLDER and not self._in_form and _is_seen(attributes)

    def _insert(self, at: int, cut: int, out: list[bytes], what: bytes) -> int:
        if not what:
            return cut
        out += (self._markup.raw[cut:at], what)
        return max(cut, at)

    def _replace(self, piece: Piece, cut: int, out: list[bytes], what: bytes) -> int:
        out += (self._markup.raw[cut : piece.start], what)
        return piece.end

    def _take_first(self) -> bytes:
        first, self._first = self._first, b""
        return first

    def _take_head(self) -> bytes:
        if self._head_done:
            return b""
        self._head_done = True
        self._markup.watch_all = False
        return self._take_first() + self._encoded(self._head) + self._reporter

    def _take_body(self) -> bytes:
        if self._body_done:
            return b""
        self._body_done = True
        return self._encoded(self._body() if callable(self._body) else self._body)

    def _finish(self) -> bytes:
        """What a page still lacks at its end, behind what it left open."""
        open_text, held = self._markup.text_of, self._held
        closing = b"</%s>" % open_text.encode("ascii") if open_text and (held or open_text != "script") else b""
        if held:
            closing += held.closing if open_text == held.tag else b"</%s>%s" % (held.tag.encode("ascii"), held.closing)
        missing = b""
        # Closing a script that nobody closed would run half of it; behind <plaintext> nothing can stand.
        if self._is_document and open_text != "plaintext" and (open_text != "script" or held):
            missing = self._take_head() + self._take_body()
        if missing and self._markup.in_foreign:
            missing = _BREAK_OUT + missing
        return closing + missing if held or missing else b""

    def _is_inline_script(self, piece: Piece) -> bool:
        if piece.tag != "script" or piece.namespace != "html" or self._held:
            return False
        return _OUTSIDE.search(self._markup.raw, piece.start, piece.end) is None

    def _inline_script(self, script: bytes) -> bytes:
        """An inline script as it may leave: one that would fetch a Google tag waits like the tag itself."""
        found = GOOGLE_LOADER.search(script)
        hold = self._holder.for_host(found.group(1).decode("ascii").lower()) if found else None
        return script if hold is None else hold.opening() + script + b"</template>"

    def _for_no_script(self, content: bytes) -> bytes:
        """The content of a noscript: text to browsers with scripts, and markup to those without."""
        inner = HtmlGate(policy=self._policy, allows=self._allows, host=self._host, placeholder=self._placeholder)
        inner._holder = self._holder
        inner._first = inner._reporter = b""
        inner._head_done = inner._body_done = True
        inner._markup.watch_all = False
        return inner.feed(content) + inner.close()

    def _encoded(self, fragment: bytes) -> bytes:
        """A UTF-8 fragment for this page: where the charset is another or not named, as ASCII with references."""
        if self._utf8 or fragment.isascii():
            return fragment
        return fragment.decode("utf-8").encode("ascii", "xmlcharrefreplace")


def _is_seen(attributes: dict[str, str]) -> bool:
    """Whether a frame takes room on the page: one of 0 or 1 pixel is a pixel, and needs no placeholder."""
    if "hidden" in attributes or attributes.get("width") in ("0", "1") or attributes.get("height") in ("0", "1"):
        return False
    return _UNSEEN.search(attributes.get("style", "").lower()) is None
