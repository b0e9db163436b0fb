"""The Content-Security-Policy that keeps the browser to the site and the vendors a visitor agreed to. Pure.

A browser enforces every policy it receives, each by itself. So the site's own headers stay as they are, byte for byte,
and ours is sent beside them: whatever the site forbids stays forbidden, whatever its nonces and `strict-dynamic` trust
must still come from a host that was agreed to. Ours says nothing about inline code (that is the site's to decide).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.vendors import normal_host, registrable_domain

ENFORCE = b"content-security-policy"
REPORT_ONLY = b"content-security-policy-report-only"
# What inline code may do is decided by the site's own policy; ours decides about hosts alone.
_INLINE = "'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
_REPORT_TO = b"; report-to consent"
_NONCE = re.compile(rb"'nonce-([A-Za-z0-9+/_=-]{1,256})'", re.IGNORECASE)


class Headers(msgspec.Struct, frozen=True):
    """CSP headers of a response: `enforced` and `report_only` values, and `endpoints` for Reporting-Endpoints."""

    enforced: tuple[bytes, ...] = ()
    report_only: tuple[bytes, ...] = ()
    endpoints: bytes = b""

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As raw ASGI headers."""
        pairs = [(ENFORCE, value) for value in self.enforced] + [(REPORT_ONLY, value) for value in self.report_only]
        if self.endpoints:
            pairs.append((b"reporting-endpoints", self.endpoints))
        return pairs


def merge(
    policy: PrivacyPolicy,
    allows: Callable[[str], bool],
    site_headers: Iterable[bytes],
    *,
    nonce: str | None = None,
    mode: str | None = None,
    once: frozenset[str] = frozenset(),
    secure: bool = True,
) -> Headers:
    """The site's own enforced policies and ours beside them.

    `site_headers` are the values of the site's Content-Security-Policy headers; they come back untouched. `mode` is
    "enforce", "report" or "off" (default: the policy's). `nonce` is unused by our own policy, on purpose: naming one
    would switch off the site's inline code that carries none. `once` names vendors shown for this page view only.
    `secure` says that the page came by https: browsers deliver to Reporting-Endpoints there only, and where they see
    `report-to` they take no other way.
    """
    site = tuple(site_headers)
    mode = mode or policy.site.csp
    if mode == "off":
        return Headers(site)
    value, endpoints = own(policy, frozenset(purpose.id for purpose in policy.purposes if allows(purpose.id)), once)
    if not secure:
        value, endpoints = value.removesuffix(_REPORT_TO), b""
    if mode == "report":
        return Headers(site, (value,), endpoints)
    return Headers((*site, value), (), endpoints)


def own(policy: PrivacyPolicy, purposes: frozenset[str], once: frozenset[str] = frozenset()) -> tuple[bytes, bytes]:
    """Our policy for a set of agreed purposes, and the value of Reporting-Endpoints. Kept with the policy file."""
    if once:
        return _write(policy, purposes, once)
    cache: dict[frozenset[str], tuple[bytes, bytes]] = policy.__dict__.setdefault("_csp", {})
    found = cache.get(purposes)
    if found is None:
        found = _write(policy, purposes, once)
        if len(cache) < 256:
            cache[purposes] = found
    return found


def _write(policy: PrivacyPolicy, purposes: frozenset[str], once: frozenset[str]) -> tuple[bytes, bytes]:
    hosts = [registrable_domain(normal_host(host)) for host in policy.site.hosts]
    vendors = [vendor for vendor in policy.vendors if vendor.purpose in purposes or vendor.name in once]
    hosts += [normal_host(host) + _port(host) for vendor in vendors for host in vendor.hosts]
    sources = " ".join(part for host in dict.fromkeys(hosts) for part in _sources(host))
    report = f"{policy.site.prefix}/csp-report"
    value = f"default-src {_INLINE} {sources}".rstrip() + f"; report-uri {report}{_REPORT_TO.decode()}"
    return value.encode("ascii", "ignore"), f'consent="{report}"'.encode("ascii", "ignore")


def _port(host: str) -> str:
    found = re.search(r":\d+$", host)
    return found.group() if found else ""


def _sources(host: str) -> tuple[str, ...]:
    # A host without a scheme follows the page's (http or https), but not into WebSockets: those are named.
    name = host.removesuffix(_port(host))
    if name.startswith("[") or "." not in name or name.replace(".", "").isdigit():
        anywhere = host if host != name else f"{name}:*"
        return (anywhere, f"ws://{anywhere}", f"wss://{anywhere}")
    return (host, f"*.{host}", f"wss://{host}", f"wss://*.{host}")


def nonce_of(site_headers: Iterable[bytes]) -> str | None:
    """The nonce of the site's own policy, so that our tags may carry it; None when it has none."""
    for header in site_headers:
        found = _NONCE.search(header)
        if found:
            return found.group(1).decode("ascii")
    return None
