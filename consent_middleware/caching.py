"""Who may store a response: Vary and Cache-Control, so that one visitor's decision never reaches another; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]

# Directives with which a response may not be stored in a shared cache.
_PRIVATE: Final = re.compile(rb"(?:^|,)\s*(?:private|no-store)\s*(?:,|$)", re.IGNORECASE)
# private="x" with a field name restricts that field alone (RFC 9111 5.2.2.7): the rest may be shared.
_SHARED: Final = (b"public", b"s-maxage", b"private", b"proxy-revalidate")


def is_private(headers: Headers) -> bool:
    """Whether no shared cache may store a response with these headers."""
    return any(name.lower() == b"cache-control" and _PRIVATE.search(value) for name, value in headers)


def make_private(headers: Headers) -> Headers:
    """The same headers, for this visitor's browser alone. How long it may keep them stays as the site said."""
    if is_private(headers):
        return headers
    directives = [b"private"]
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.lower() != b"cache-control":
            kept.append((name, value))
            continue
        for directive in value.split(b","):
            word = directive.strip()
            if word and word.partition(b"=")[0].strip().lower() not in _SHARED:
                directives.append(word)
    kept.append((b"cache-control", b", ".join(directives)))
    return kept


def vary_by(headers: Headers, *names: bytes) -> Headers:
    """The same headers with `names` added to Vary, unless they are there."""
    present = {part.strip().lower() for name, value in headers if name.lower() == b"vary" for part in value.split(b",")}
    missing = [name for name in names if name.lower() not in present]
    if b"*" in present or not missing:
        return headers
    return [*headers, (b"vary", b", ".join(missing))]
