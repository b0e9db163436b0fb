"""Names for hosts: who is known to run a third-party host, and what such companies are usually there for.

From third-party-web's public list (see NOTICE). A name is a hint for whoever writes the policy, never a decision.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from consent_middleware.vendors import normal_host, suffixes

_FILE = Path(__file__).with_name("known_parties.tsv")
# What a category of the list is usually used for; "necessary" is never guessed.
_PURPOSES = {
    "analytics": "analytics",
    "ad": "marketing",
    "marketing": "marketing",
    "social": "marketing",
    "tag-manager": "marketing",
    "video": "marketing",
}


class KnownParty(msgspec.Struct, frozen=True):
    """A company or service: `category` as in the list (ad, analytics, cdn, social, video...)."""

    name: str
    category: str
    domains: tuple[str, ...]

    @property
    def purpose(self) -> str:
        """The purpose to propose: "analytics", "marketing" or "external"."""
        return _PURPOSES.get(self.category, "external")


@functools.cache
def _by_domain() -> dict[str, KnownParty]:
    parties: dict[str, KnownParty] = {}
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, category, domains = line.split("\t")
            party = KnownParty(name, category, tuple(domains.split()))
            parties.update((domain, party) for domain in party.domains)
    return parties


def known_party(host: str) -> KnownParty | None:
    """Who runs a host or a domain above it; None when nobody knows."""
    parties = _by_domain()
    return next((parties[name] for name in suffixes(normal_host(host)) if name in parties), None)
