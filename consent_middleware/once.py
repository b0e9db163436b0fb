""" "Show this once": a third party's content for one page view, asked for by a link of the placeholder. Pure.

The link leads to the same page with `consent-once=<vendor>` in its query; nothing is stored. Only a click on the site
itself counts: a link from elsewhere could otherwise make somebody's browser load a tracker.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.vendors import normal_host

PARAMETER = "consent-once"
NONE: frozenset[str] = frozenset()


def shown_once(policy: PrivacyPolicy, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> frozenset[str]:
    """Names of the vendors that this one response may show; empty for all but a click from the site's own page."""
    if b"consent-once" not in query:
        return NONE
    try:
        pairs = parse_qsl(query.decode("latin-1"), max_num_fields=200)
    except ValueError:
        return NONE
    asked = {value for name, value in pairs if name == PARAMETER}
    if not asked or not _is_own_click(dict(headers)):
        return NONE
    return frozenset(vendor.name for vendor in policy.vendors if vendor.name in asked)


def _is_own_click(headers: dict[bytes, bytes]) -> bool:
    named = {name.lower(): value for name, value in headers.items()}
    site = named.get(b"sec-fetch-site")
    if site is not None:
        # A script's fetch is no click. (Sec-Fetch-User would say more, but Safari does not send it.)
        return site == b"same-origin" and named.get(b"sec-fetch-mode") == b"navigate"
    try:
        referer = urlsplit(named.get(b"referer", b"").decode("latin-1")).hostname or ""
    except ValueError:
        return False
    host = normal_host(named.get(b"host", b"").decode("latin-1"))
    return bool(host) and normal_host(referer) == host
