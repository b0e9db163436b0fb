"""Counts how the banner is met: shown, accepted, refused, partly. Day and language only, never an identifier."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from consent_middleware.pages.revisions import today

if TYPE_CHECKING:
    from consent_middleware.services import Services


# Who says so of itself. What hides is counted as a visitor: it is neither asked for more nor recognised.
CRAWLER = re.compile(
    rb"bot\b|bot/|crawl|spider|slurp|preview|archiv|monitor|uptime|pingdom|lighthouse|feed|externalhit|gpt|claude",
    re.IGNORECASE,
)
MAX_AGENT = 500


def is_crawler(user_agent: bytes) -> bool:
    """Whether a program reads the page that would make every rate too low: nobody sees the banner, nobody chooses."""
    return _is_crawler(user_agent[:MAX_AGENT])


@lru_cache(1024)
def _is_crawler(user_agent: bytes) -> bool:
    return CRAWLER.search(user_agent) is not None


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
