"""Values of the request path: what follows from a Cookie header, and one request as it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from consent_middleware.request_headers import ACCEPT, DESTINATION, HOST, Pair

if TYPE_CHECKING:
    from consent_middleware.decision import Decision

Headers = Sequence[Pair]

_PAGE_DESTINATIONS: Final = frozenset({b"document", b"iframe", b"frame", b"embed", b"object"})


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What follows from one Cookie header under one regime and one set of signals."""

    decision: Decision
    allowed: frozenset[str]
    cookie: bytes | None  # what is left of the header
    strips: bool  # whether that is less than all
    lapsed: tuple[bytes, ...]  # declared cookies whose consent is missing
    visitor_id: str | None  # only while its purpose is granted
    basis: str | None  # why a row of this visitor may exist
    ending: bytes  # of such a row; empty when its key changes each day
    ends: float  # unix time until which all this holds
    generation: int  # of the keys that verified it
    record_id: str | None


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One request, read."""

    verdict: Verdict
    headers: Headers  # as the site may see them
    found: list[bytes]  # what matters of them, by the places of request_headers
    secure: bool
    at: float  # unix time

    @property
    def host(self) -> bytes:
        return self.found[HOST]

    @property
    def document(self) -> bool:
        """The browser wants a page, as far as it can be told."""
        destination = self.found[DESTINATION]
        return destination in _PAGE_DESTINATIONS if destination else b"text/html" in self.found[ACCEPT]
