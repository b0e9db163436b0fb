"""A held element on its way into its wrapper: where it ends, as a browser would see it."""

from __future__ import annotations

from enum import Enum

from consent_middleware.markup import Piece

VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "image", "input", "link", "meta", "param", "source", "track"}
    | {"wbr", "frame", "bgsound", "basefont", "keygen"}
)
# A browser lets no end tag from outside close these; any other element ends with an ancestor of it.
_CLOSED_BY_ITSELF = frozenset({"script", "iframe", "object", "applet", "style", "noscript"})


class Place(Enum):
    """Of a tag, seen from the held element."""

    INSIDE = 1
    DROPPED = 2  # a browser would have ignored it; inside the wrapper it would end the wrapper
    LAST = 3  # the held element ends with it
    BEYOND = 4  # the held element has ended before it


class Held:
    """`tag` waits; `closing` ends its wrapper, with `outer` elements of SVG and MathML open around it."""

    def __init__(self, tag: str, namespace: str, closing: bytes, outer: int) -> None:
        self.tag = tag
        self.outer = outer
        self.closing = closing
        self._namespace = namespace
        self._open = [tag]

    def start(self, piece: Piece) -> Place:
        if piece.broke_out and self._namespace == "svg":
            return Place.BEYOND
        if not (piece.tag in VOID if piece.namespace == "html" else piece.self_closing):
            self._open.append(piece.tag)
        return Place.INSIDE

    def end(self, piece: Piece, in_template: bool) -> Place:
        """`in_template`: whether the held element stands in a template of the site."""
        tag = piece.tag
        if tag == "template" and "template" not in self._open:
            return Place.BEYOND if in_template else Place.DROPPED
        if self._namespace == "svg" and piece.namespace == "svg" and tag in ("p", "br"):
            return Place.BEYOND
        if tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]
            return Place.INSIDE if self._open else Place.LAST
        return Place.INSIDE if self.tag in _CLOSED_BY_ITSELF and self._namespace == "html" else Place.BEYOND
