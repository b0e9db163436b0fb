"""A policy and building blocks of pages, shared by the tests of the HTML gate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from consent_middleware.html import HtmlGate
from consent_middleware.policy import PrivacyPolicy

POLICY_TEXT = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example Ltd"
contact = "privacy@example.com"
[site]
hosts = ["example.com"]
csp = "enforce"
[[purpose]]
id = "marketing"
title = "Marketing"
description = "Films and advertisements"
google_signals = ["ad_storage", "ad_user_data"]
[[purpose]]
id = "analytics"
title = "Statistics"
description = "Counting visits"
google_signals = ["analytics_storage"]
[[vendor]]
name = "Tube & Co"
purpose = "marketing"
hosts = ["tube.example"]
country = "DE"
[[vendor]]
name = "Counter"
purpose = "analytics"
hosts = ["counter.example", "metrics.example.com"]
country = "DE"
[[vendor]]
name = "Fonts"
purpose = "necessary"
hosts = ["*.fonts.example"]
country = "DE"
"""
POLICY = PrivacyPolicy.parse(POLICY_TEXT)


def granted(*purposes: str) -> Callable[[str], bool]:
    return frozenset({"necessary", *purposes}).__contains__


def gated(page: bytes | str, *purposes: str, chunks: Iterable[bytes] | None = None, **options: object) -> bytes:
    """`page` as a visitor who granted `purposes` gets it; with no head and body fragments unless options say so."""
    raw = page.encode() if isinstance(page, str) else page
    settings: dict[str, object] = {"policy": POLICY, "allows": granted(*purposes), "host": "example.com", **options}
    gate = HtmlGate(**settings)  # type: ignore[arg-type]  # options of many types
    return b"".join([*(gate.feed(chunk) for chunk in ([raw] if chunks is None else chunks)), gate.close()])


def split(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(places)]
