"""One request as it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from consent_middleware.request_headers import ACCEPT, DESTINATION, HOST, Pair

if TYPE_CHECKING:
    from consent_middleware.verdict import Verdict

Headers = Sequence[Pair]

_PAGE_DESTINATIONS: Final = frozenset({b"document", b"iframe", b"frame", b"embed", b"object"})


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
