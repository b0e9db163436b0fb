"""What a browser saw on a site, and what of it the policy does not say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from consent_middleware.inventory import matches
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_checks import lifetime_seconds
from consent_middleware.policy_sections import Cookie
from consent_middleware.vendors import VendorIndex

OWN_COOKIES = frozenset({"__Host-consent", "__Host-visitor", "consent", "visitor"})
# Clocks differ, and a page takes time: a cookie may live this much longer than declared.
LIFETIME_SLACK_S = 86_400.0
DAY_S = 86_400.0


class SeenCookie(msgspec.Struct, frozen=True, order=True):
    """A cookie in the browser's jar: `lifetime_s` None for a session cookie."""

    name: str
    domain: str
    path: str = "/"
    lifetime_s: float | None = None
    http_only: bool = False


class Sighting(msgspec.Struct, frozen=True):
    """One visit: the site's host, what was stored, and which hosts were asked for what."""

    host: str
    cookies: tuple[SeenCookie, ...] = ()
    storage: tuple[tuple[str, str], ...] = ()  # (area, key)
    hosts: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()


class Surprise(msgspec.Struct, frozen=True, order=True):
    """Something that was seen and that the policy does not say; `reason` is a sentence."""

    kind: Literal["cookie", "storage", "host"]
    name: str
    where: str
    reason: str


def surprises(policy: PrivacyPolicy, sighting: Sighting, purposes: frozenset[str]) -> list[Surprise]:
    """What `sighting` shows beyond what the policy declares and `purposes` (agreed to, or required) allow."""
    found = {*_cookies(policy, sighting, purposes), *_storage(policy, sighting, purposes)}
    return sorted(found | set(_hosts(policy, sighting, purposes)))


def _cookies(policy: PrivacyPolicy, sighting: Sighting, purposes: frozenset[str]) -> Iterator[Surprise]:
    index = VendorIndex.of(policy)
    for cookie in sighting.cookies:
        if cookie.name in OWN_COOKIES:
            continue
        declared = declaration(policy.cookies, cookie.name, "http")
        if declared is None:
            vendor = index.find(cookie.domain)
            if vendor is None or vendor.purpose not in purposes:
                yield Surprise("cookie", cookie.name, cookie.domain, "is not declared")
        elif declared.purpose not in purposes:
            reason = f'is set without consent to "{declared.purpose}"'
            yield Surprise("cookie", cookie.name, cookie.domain, reason)
        else:
            limit = lifetime_seconds(declared.lifetime)
            lives = cookie.lifetime_s
            if lives is not None and lives > (limit or 0) + LIFETIME_SLACK_S:
                reason = f"lives {lives / DAY_S:.0f} days; declared: {declared.lifetime}"
                yield Surprise("cookie", cookie.name, cookie.domain, reason)


def _storage(policy: PrivacyPolicy, sighting: Sighting, purposes: frozenset[str]) -> Iterator[Surprise]:
    for area, key in sighting.storage:
        declared = declaration(policy.cookies, key, area)
        if declared is None:
            yield Surprise("storage", key, area, "is not declared")
        elif declared.purpose not in purposes:
            yield Surprise("storage", key, area, f'is written without consent to "{declared.purpose}"')


def _hosts(policy: PrivacyPolicy, sighting: Sighting, purposes: frozenset[str]) -> Iterator[Surprise]:
    index = VendorIndex.of(policy)
    for host in sighting.hosts:
        vendor = index.find(host)
        if vendor is not None:
            if vendor.purpose not in purposes:
                yield Surprise("host", host, vendor.name, f'is contacted without consent to "{vendor.purpose}"')
        elif not index.is_own(host, sighting.host):
            yield Surprise("host", host, "", "is not declared")


def declaration(cookies: Iterable[Cookie], name: str, kind: str) -> Cookie | None:
    """The declaration of a cookie or storage key: an exact name before a pattern."""
    named = [cookie for cookie in cookies if cookie.kind == kind and matches(cookie.name, name)]
    return min(named, key=lambda cookie: ("*" in cookie.name, -len(cookie.name)), default=None)
