"""Counts how the banner is met: shown, accepted, refused, partly. Day and language only, never an identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from consent_middleware.pages.revisions import today

if TYPE_CHECKING:
    from consent_middleware.services import Services


def count_impression(services: Services, *, referer: bytes | None, host: str, language: str) -> None:
    """Count a banner that was put into a page which the visitor did not reach from a page of the same site.

    So a visitor who reads on without choosing counts once, as "ignored": impressions less the choices made.
    """
    if referer:
        try:
            came_from = urlsplit(referer.decode("latin-1")).netloc.lower()
        except ValueError:
            came_from = ""
        if came_from == host.lower():
            return
    services.ledger.count("shown", language, today().isoformat())
