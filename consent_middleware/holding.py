"""Which elements wait for consent, and the inert wrapper they wait in."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from consent_middleware.loading import fetched, host_of
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_sections import Vendor
from consent_middleware.vendors import VendorIndex, is_google_tag

_SPECIAL = re.compile(r"[^A-Za-z0-9_.-]")


class Hold(msgspec.Struct, frozen=True):
    """Why an element is held: `purpose` may be "" (nothing can be agreed to), `vendor` None (nobody declared it)."""

    purpose: str
    label: str
    vendor: Vendor | None
    url: str

    def opening(self) -> bytes:
        """The wrapper's start tag; what nobody declared has no purpose, so that no choice brings it back."""
        purpose = b" data-purpose=" + unquoted(self.purpose) if self.purpose else b" data-undeclared"
        return b"<template%s%s>" % (purpose, b" data-vendor=" + unquoted(self.label) if self.label else b"")


class Holder:
    """Decides for the elements of one page."""

    def __init__(
        self,
        policy: PrivacyPolicy,
        allows: Callable[[str], bool],
        host: str,
        undeclared: Callable[[str], None] | None,
        once: frozenset[str] = frozenset(),
    ) -> None:
        self.base = ""
        self._index = VendorIndex.of(policy)
        self._allows = allows
        self._host = host
        self._undeclared = undeclared
        self._once = once
        self._hold_undeclared = policy.site.csp == "enforce"
        self._verdicts: dict[str, tuple[str, str, Vendor | None] | None] = {}

    def check(self, tag: str, attributes: dict[str, str]) -> Hold | None:
        """None when the element may load; else why it waits."""
        by_hand = attributes.get("data-purpose", "")
        waits = bool(by_hand) and not self._allows(by_hand)
        for url in fetched(tag, attributes):
            host = host_of(url, self.base)
            if not host:
                continue
            verdict = self._verdict(host)
            if waits:
                vendor = self._index.find(host)
                if vendor and vendor.name in self._once:
                    return None
                return Hold(by_hand, vendor.name if vendor else host, vendor, url)
            if verdict is not None:
                return Hold(*verdict, url)
        return Hold(by_hand, attributes.get("data-vendor", ""), None, "") if waits else None

    def for_host(self, host: str) -> Hold | None:
        """Why what comes from a host waits; None when it may load."""
        verdict = self._verdict(host)
        return None if verdict is None else Hold(*verdict, "")

    def _verdict(self, host: str) -> tuple[str, str, Vendor | None] | None:
        if host not in self._verdicts:
            self._verdicts[host] = self._judge(host)
        return self._verdicts[host]

    def _judge(self, host: str) -> tuple[str, str, Vendor | None] | None:
        vendor = self._index.find(host)
        if vendor is not None:
            agreed = self._allows(vendor.purpose) or vendor.name in self._once
            return None if agreed else (vendor.purpose, vendor.name, vendor)
        if self._index.is_own(host, self._host):
            return None
        if self._undeclared is not None:
            self._undeclared(host)
        return ("", host, None) if self._hold_undeclared or is_google_tag(host) else None


def unquoted(value: str) -> bytes:
    """A value for an attribute without quotation marks, in ASCII.

    Without quotes, what we insert can't end a quoted attribute of the page, should a browser ever see one where we saw
    a tag. The value must not be empty.
    """
    return _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", value).encode("ascii")
