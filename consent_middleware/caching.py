"""Who may store a response: Vary and Cache-Control, so that one visitor's decision never reaches another; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]

# Directives with which a response may not be stored in a shared cache. private="x" restricts one field alone.
_PRIVATE: Final = re.compile(rb"(?:^|,)\s*(?:private|no-store)\s*(?:,|$)", re.IGNORECASE)
_DIRECTIVE: Final = re.compile(rb'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
_SHORTEST_CONTROL: Final = len(b"cache-control")
_SHARED: Final = frozenset({b"public", b"s-maxage", b"private", b"proxy-revalidate"})
_KEPT_COPY: Final = _SHARED | {
    b"max-age",
    b"immutable",
    b"no-cache",
    b"must-revalidate",
    b"stale-while-revalidate",
    b"stale-if-error",
}


def is_private(headers: Headers) -> bool:
    """Whether no shared cache may store a response with these headers."""
    told = False
    for name, value in headers:
        if len(name) < _SHORTEST_CONTROL:
            continue
        name = name.lower()
        if name == b"cache-control":
            told = told or value == b"private" or _PRIVATE.search(value) is not None
        elif _is_targeted(name):
            return False
    return told


def make_private(headers: Headers) -> Headers:
    """The same headers, for this visitor's browser alone. How long it may keep them stays as the site said."""
    return headers if is_private(headers) else _with_directives(headers, [b"private"], without=_SHARED)


def make_uncached(headers: Headers) -> Headers:
    """The same headers, for this visitor's browser alone, which asks again each time before it shows a kept copy."""
    if any(b"no-store" in value.lower() for name, value in headers if name.lower() == b"cache-control"):
        return make_private(headers)
    return _with_directives(headers, [b"private", b"no-cache"], without=_KEPT_COPY)


def vary_by(headers: Headers, *names: bytes) -> Headers:
    """The same headers with `names` added to Vary, unless they are there."""
    present = {part.strip().lower() for name, value in headers if name.lower() == b"vary" for part in value.split(b",")}
    missing = [name for name in names if name.lower() not in present]
    if b"*" in present or not missing:
        return headers
    return [*headers, (b"vary", b", ".join(missing))]


def _with_directives(headers: Headers, directives: list[bytes], *, without: frozenset[bytes]) -> Headers:
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.lower() == b"cache-control":
            words = [word.strip() for word in _DIRECTIVE.findall(value)]
            directives += [word for word in words if word and word.partition(b"=")[0].strip().lower() not in without]
        elif not _is_targeted(name):
            kept.append((name, value))
    kept.append((b"cache-control", b", ".join(directives)))
    return kept


def _is_targeted(name: bytes) -> bool:
    """Headers that speak to one kind of shared cache, over the head of Cache-Control (RFC 9213)."""
    return name.lower().endswith((b"cdn-cache-control", b"surrogate-control"))
