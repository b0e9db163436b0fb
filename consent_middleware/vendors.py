"""Whose is a host: a declared vendor's, the site's own, or nobody's that the policy knows. Pure.

A vendor's host covers its subdomains (`youtube.com` covers `www.youtube.com`); a written `*.` means the same. A host of
a vendor counts as the vendor's even under the site's own domain, so that a tracker behind a CNAME can be declared.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from publicsuffixlist import PublicSuffixList

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_sections import Vendor

# Google's tags are held without a grant even where nothing declares them: basic consent mode (no tag before a yes).
GOOGLE_TAG_HOSTS = frozenset(
    {
        "googletagmanager.com",
        "google-analytics.com",
        "googleadservices.com",
        "doubleclick.net",
        "googlesyndication.com",
        "analytics.google.com",
    }
)


class VendorIndex:
    """The vendors of one policy by host."""

    def __init__(self, policy: PrivacyPolicy) -> None:
        self._by_host = {normal_host(host): vendor for vendor in policy.vendors for host in vendor.hosts}
        self._own = frozenset(registrable_domain(normal_host(host)) for host in policy.site.hosts)

    @classmethod
    def of(cls, policy: PrivacyPolicy) -> VendorIndex:
        """The index of `policy`, made once and kept with it, as its cached properties are."""
        index = policy.__dict__.get("_vendor_index")
        if not isinstance(index, cls):
            index = policy.__dict__["_vendor_index"] = cls(policy)
        return index

    def find(self, host: str) -> Vendor | None:
        """The declared vendor of a host or of a domain above it; the nearest declaration wins."""
        for name in suffixes(normal_host(host)):
            vendor = self._by_host.get(name)
            if vendor is not None:
                return vendor
        return None

    def is_own(self, host: str, request_host: str = "") -> bool:
        """Whether a host belongs to the site: the same registrable domain as one of its hosts, or as the request's."""
        domain = registrable_domain(normal_host(host))
        return domain in self._own or (bool(request_host) and domain == registrable_domain(normal_host(request_host)))


def normal_host(host: str) -> str:
    """`*.Example.COM.:8443` -> `example.com`; an address in brackets keeps them; IDNs become A-labels."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    host = host.partition(":")[0].strip(".").removeprefix("*.")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def suffixes(host: str) -> Iterator[str]:
    """`a.b.c` -> `a.b.c`, `b.c`, `c`."""
    while host:
        yield host
        host = host.partition(".")[2]


def is_google_tag(host: str) -> bool:
    return any(name in GOOGLE_TAG_HOSTS for name in suffixes(host))


@functools.cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@functools.lru_cache(maxsize=4096)
def registrable_domain(host: str) -> str:
    """`www.example.co.uk` -> `example.co.uk`; the host itself where there is none above it (addresses, localhost)."""
    if host.startswith("[") or host.replace(".", "").isdigit():
        return host
    return _public_suffixes().privatesuffix(host) or host
