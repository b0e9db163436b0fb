"""A page's bytes as tags with their places, chunk by chunk, exactly as a browser would tokenize them.

Bytes are read as Latin-1, so that one byte is one character whatever the charset, and no character is split by a
chunk. The tokenizer would turn CR into LF and resolve references, which moves places: a CR is shown to it as a form
feed (whitespace too) and `&` as a control character; a tag that matters is read again from its own bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from turbohtml import Token, Tokenizer, TokenType, tokenize

from consent_middleware.foreign import Foreign
from consent_middleware.loading import LOADING_TAGS
from consent_middleware.words import words

_START, _END, _TEXT, _COMMENT = TokenType.START_TAG, TokenType.END_TAG, TokenType.TEXT, TokenType.COMMENT
_DOCTYPE = TokenType.DOCTYPE
# Elements whose content a browser reads as text up to their own end tag.
RAW_TEXT = words("script style textarea title xmp iframe noembed noframes noscript plaintext")

# A tokenizer keeps all that it was fed: a page that streams for hours would stay in memory as a whole.
RENEW_BYTES = 262_144

_ENDS = ("-->", "--!>", "<!-->")


class Piece(NamedTuple):
    """A tag, the doctype, the text of a noscript, or a place to make sure of: what it is and where in `Markup.raw`."""

    kind: Literal["start", "end", "doctype", "noscript", "unsure"]
    tag: str
    start: int
    end: int
    namespace: str
    self_closing: bool
    broke_out: bool = False  # out of SVG or MathML, which a template in front of it would not do
    forced: bool = False  # it is not certain that SVG or MathML has ended: something must be put in front that ends it


class Markup:
    """`raw` holds the bytes that are not finished with; `pieces` yields what stands in them."""

    def __init__(self, watched: frozenset[str]) -> None:
        self.raw = b""
        self.position = 0  # up to here `raw` is understood
        self.text_of = ""  # the raw text element that the position is in
        self.watch_all = True
        self._watched = watched | {"svg", "math"}
        self._tokenizer: Tokenizer | None = None
        self._foreign = Foreign()
        self._afresh = False
        self._fed = 0
        self._unfed = b""  # the end of `raw`, which the next chunk may make a `</>`

    def pieces(self, chunk: bytes, last: bool) -> Iterator[Piece]:
        """What `chunk` completes, in order. `raw` may be cut to `position` by the caller between two calls only."""
        self.raw += chunk
        self.position = 0
        self._afresh = self._tokenizer is None or self._outgrown()
        while True:
            data = self.raw[self.position :] if self._afresh else self._unfed + chunk
            whole = len(data) if last else len(data) - _begun(data)
            self._unfed = data[whole:]
            data = data[:whole]
            tokens = self._tokens(data, last)
            self._afresh = False
            yield from self._read(tokens, last)
            if not self._afresh or self._tokenizer is None:  # None: an unfinished CDATA section waits for more
                return

    def _outgrown(self) -> bool:
        """Whether a new tokenizer should go on from here: between two tags, where it begins as the old one stands."""
        return self._fed > RENEW_BYTES and not self.text_of and len(self.raw) < RENEW_BYTES // 2

    def _tokens(self, data: bytes, last: bool) -> Iterable[Token]:
        if self._afresh or self._tokenizer is None:
            self._tokenizer = Tokenizer(capture_source=True, capture_attributes=False)
            self._fed = 0
        self._fed += len(data)
        # `</>` is nothing to a browser: no token would account for its bytes, where an empty comment does.
        text = data.decode("latin-1").replace("\r", "\f").replace("&", "\x1a").replace("</>", "<!>")
        tokens: Iterable[Token] = self._tokenizer.feed(text)
        return [*tokens, *self._tokenizer.close()] if last else tokens

    def _read(self, tokens: Iterable[Token], last: bool) -> Iterator[Piece]:
        """Yields pieces; sets `_afresh` when tokenizing has to start again at `position`."""
        raw, position, watched, foreign = self.raw, self.position, self._watched, self._foreign
        everything = self.watch_all or foreign.open
        for token in tokens:
            kind = token.type
            if kind is _TEXT:
                end = position + len(token.data)
                if self.text_of == "noscript":
                    yield Piece("noscript", "noscript", position, end, "html", False)
                position = end
                continue
            end = position + len(token.source)
            tag = token.tag
            if kind is _END:
                if tag == self.text_of:
                    self.text_of = ""
                if everything or tag in watched:
                    yield Piece("end", tag, position, end, foreign.namespace, False)
                    foreign.end(tag)
                    everything = self.watch_all or foreign.open
            elif kind is _START:
                if everything or tag in watched:
                    forced = foreign.uncertain and (tag in RAW_TEXT or tag in LOADING_TAGS)
                    if forced:
                        foreign.leave_for_certain()
                    outer = foreign.namespace
                    namespace = self._namespace(token, raw[position:end])
                    self.position = end
                    broke_out = namespace == "html" != outer
                    yield Piece("start", tag, position, end, namespace, token.self_closing, broke_out, forced)
                    everything = self.watch_all or foreign.open
                    if namespace != "html" and tag in RAW_TEXT:
                        # The tokenizer reads text from here on; a browser goes on with tags.
                        self._afresh = True
                        return
                if tag in RAW_TEXT:
                    self.text_of = tag
            elif kind is _DOCTYPE:
                yield Piece("doctype", "", position, end, "html", False)
            elif kind is _COMMENT:
                if foreign.namespace != "html" and raw.startswith(b"<![CDATA[", position):
                    if not foreign.uncertain:
                        close = raw.find(b"]]>", position)
                        if close < 0 and not last:
                            self._tokenizer, self.position = None, position
                        else:
                            self.position = close + 3 if close >= 0 else len(raw)
                        self._afresh = True
                        return
                    # A section inside SVG or MathML, a comment up to the next `>` outside: let it be outside.
                    foreign.leave_for_certain()
                    yield Piece("unsure", "", position, position, "html", False, forced=True)
                    everything = self.watch_all or foreign.open
                if last and not _is_closed(token.source):
                    break  # it has no end: what still has to come must stand in front of it
            position = end
        self.position = position

    def _namespace(self, token: Token, source: bytes) -> str:
        """Of the element that a start tag opens."""
        foreign = self._foreign
        before = foreign.namespace
        attributes = attributes_of(source) if foreign.open and token.tag in ("font", "annotation-xml") else {}
        if not foreign.start(token.tag, token.self_closing, attributes):
            return "html"
        return before if before != "html" else str(token.tag)

    @property
    def outer(self) -> int:
        """How many elements of SVG and MathML stand open around the last start tag's; for `cut`."""
        return self._foreign.outer

    def cut(self, outer: int) -> None:
        """What was opened since then has ended, whatever the tags say: a wrapper around it was closed."""
        self._foreign.cut(outer)

    @property
    def in_foreign(self) -> bool:
        return self._foreign.namespace != "html"

    def certain_text(self) -> int:
        """How many bytes after `position` are text whatever comes next, and may leave before their tag is complete."""
        rest = self.raw[self.position :]
        if not rest or self._tokenizer is None or self.text_of == "noscript":
            return 0
        if not self.text_of:
            found = rest.find(b"<")
            return len(rest) if found < 0 else found
        found = rest.find(b"</")
        if found >= 0:
            return found
        return len(rest) - 1 if rest.endswith(b"<") else len(rest)


def _begun(data: bytes) -> int:
    """How many bytes at the end may be the beginning of `</>`."""
    return 2 if data.endswith(b"</") else 1 if data.endswith(b"<") else 0


def _is_closed(comment: str) -> bool:
    return comment.endswith(_ENDS if comment.startswith("<!--") else ">")


def attributes_of(source: bytes) -> dict[str, str]:
    """The attributes of one start tag, references resolved, names in lower case; the first of a name counts."""
    attributes: dict[str, str] = {}
    for token in tokenize(source.decode("latin-1")):
        for name, value in token.attrs or ():
            attributes.setdefault(name, value or "")
        break
    return attributes
