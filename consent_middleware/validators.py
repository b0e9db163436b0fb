"""ETags of pages that differ with the decision of whoever asked: each carries a mark of that decision. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from consent_middleware.decision import Decision

Headers = Sequence[tuple[bytes, bytes]]
_MARK: Final = re.compile(rb'~c([0-9a-f]{8})"$')


def marked(headers: Headers, mark: bytes) -> Headers:
    """The headers with the mark inside the ETag."""
    if not mark:
        return headers
    return [
        (name, value.rstrip()[:-1] + b"~c" + mark + b'"')
        if name.lower() == b"etag" and value.rstrip().endswith(b'"')
        else (name, value)
        for name, value in headers
    ]


def unmarked(if_none_match: bytes, mark: bytes) -> bytes:
    """The site's own ETags of the kept copies that fit the present decision; the others can't be shown again."""
    if not mark:
        return if_none_match
    kept = []
    for tag in if_none_match.split(b","):
        tag = tag.strip()
        found = _MARK.search(tag)
        if tag == b"*":
            kept.append(tag)
        elif found and found[1] == mark:
            kept.append(tag[: found.start()] + b'"')
    return b", ".join(kept)


@lru_cache(1024)
def mark_of(decision: Decision, once: frozenset[str], language: str, fingerprint: str) -> bytes:
    """Eight characters that two decisions only share when a page is the same for both."""
    shape = (
        decision.decided,
        sorted(decision.granted),
        sorted(once),
        decision.regime,
        decision.signals,
        language,
        fingerprint,
    )
    return hashlib.blake2b(repr(shape).encode(), digest_size=4).hexdigest().encode()
