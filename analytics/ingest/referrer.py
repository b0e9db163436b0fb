"""Referrer and campaign parameters -> source and channel of a visit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from publicsuffixlist import PSLFILE, PublicSuffixList, encode_idn

from analytics.ingest.sources import AI, BY_HOST, BY_LABEL, EMAIL, SEARCH, SOCIAL, UTM_ALIASES

DIRECT: Final = "Direct / None"
CHANNELS: Final = (
    "Direct",
    "Organic Search",
    "Paid Search",
    "Organic Social",
    "Paid Social",
    "AI Assistant",
    "Email",
    "Referral",
    "Paid Other",
)
_PAID: Final = frozenset(
    ("cpc", "ppc", "cpm", "cpv", "cpa", "paid", "ads", "display", "banner", "retargeting")
)  # and whatever starts with "paid"
_EMAIL_MEDIUM: Final = frozenset(("email", "e-mail", "e_mail", "mail", "newsletter"))
_SOCIAL_MEDIUM: Final = frozenset(("social", "social-network", "social-media", "sm", "social network", "social media"))


class Source(msgspec.Struct, frozen=True, array_like=True):
    source: str
    channel: str


@lru_cache(1)
def _suffixes() -> PublicSuffixList:
    """The list as the package reads it. Half of its time went into encoding 10,000 rules, of which 500 need it."""
    rules = []
    for line in Path(PSLFILE).read_text("utf-8").lower().splitlines():
        rule = line.split(" ")[0].rstrip()
        if rule and not rule.startswith("//"):
            rules.append(rule)
            if not rule.isascii():
                rules.append("!" * rule.startswith("!") + encode_idn(rule.lstrip("!")))
    return PublicSuffixList(rules, accept_encoded_idn=False)


def classify(referrer: str, utm_source: str = "", utm_medium: str = "") -> Source:
    """`referrer` is a host or `android-app:id`; `utm_*` are decoded. What a campaign says comes before the referrer."""
    tagged = utm_source.strip().lower()
    medium = utm_medium.strip().lower()
    name, group = _known(UTM_ALIASES.get(tagged, tagged)) if tagged else _known(referrer)
    if tagged and not group:
        name = utm_source.strip()[:64]
    paid = medium in _PAID or medium.startswith("paid")
    if paid:
        channel = {SEARCH: "Paid Search", SOCIAL: "Paid Social"}.get(group, "Paid Other")
    elif medium in _EMAIL_MEDIUM or tagged in _EMAIL_MEDIUM or group == EMAIL:
        channel = "Email"
    elif medium in _SOCIAL_MEDIUM or group == SOCIAL:
        channel = "Organic Social"
    elif group == SEARCH:
        channel = "Organic Search"
    elif group == AI:
        channel = "AI Assistant"
    elif name:
        channel = "Referral"
    else:
        channel = "Direct"
    return Source(name or DIRECT, channel)


def _known(host: str) -> tuple[str, str]:
    """(source, group); the host itself and no group when the table does not know it."""
    if not host:
        return "", ""
    probe = host
    while probe:
        if probe in BY_HOST:
            return BY_HOST[probe]
        probe = probe.partition(".")[2]
    # google.co.uk, yandex.ru: the same service under many suffixes
    domain = _suffixes().privatesuffix(host) if "." in host else None
    label = domain.partition(".")[0] if domain else ""
    if label in BY_LABEL:
        return BY_LABEL[label]
    return host[:128], ""
