"""Queries, paths and referrers lose what identifies somebody, and keep what a report needs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware.visit import is_identifying, referrer_host, scrub_path, scrub_query

ALLOWED = frozenset(("utm_source", "ref", "gclid"))


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("utm_source=news&page=2", "utm_source=news"),
        ("gclid=Cj0KCQ", ""),
        ("ref=mary%40example.net", ""),
        ("ref=mary@example.net", ""),
        ("ref=4111111111111111", ""),
        ("ref=4111-1111-1111-1111", ""),
        ("ref=eyJhbGciOiJIUzI1NiJ9.e30.x", ""),
        ("ref=a3f81b2c9d4e5f60a3f81b2c", ""),
        ("ref=550e8400-e29b-41d4-a716-446655440000", ""),
        ("ref=spring-campaign-2026-newsletter", "ref=spring-campaign-2026-newsletter"),
        ("utm_source=a%26b", "utm_source=a%26b"),
        ("token=x", ""),
        ("", ""),
    ],
)
def test_only_allowed_parameters_without_identifying_values_stay(query: str, kept: str) -> None:
    assert scrub_query(query, ALLOWED) == kept


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/news/2026/annual-report-2026-results", "/news/2026/annual-report-2026-results"),
        ("/unsubscribe/mary@example.net/yes", "/unsubscribe/*/yes"),
        ("/reset/a3f81b2c9d4e5f60a3f81b2c", "/reset/*"),
        ("/order/4111111111111111", "/order/*"),
        ("/item/1700000000001", "/item/1700000000001"),
    ],
)
def test_a_segment_of_a_path_that_identifies_becomes_an_asterisk(path: str, kept: str) -> None:
    assert scrub_path(path) == kept


@settings(deadline=None)
@given(st.emails())
def test_no_address_survives_in_a_query(address: str) -> None:
    from urllib.parse import quote

    if address.rpartition("@")[2].rpartition(".")[2].isalpha():
        assert scrub_query(f"ref={quote(address)}", ALLOWED) == ""


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_scrubbed_without_an_error(raw: bytes) -> None:
    text = raw.decode("latin-1")
    scrub_query(text, ALLOWED)
    scrub_path(text)
    referrer_host(text)
    is_identifying(text)


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://www.google.com/search?q=x", "google.com"),
        ("https://user:pass@Example.NET:8443/a", "example.net"),
        ("https://example.org/own", ""),
        ("android-app://com.google.android.gm/", "android-app:com.google.android.gm"),
        ("javascript:alert(1)", ""),
        ("not a url", ""),
    ],
)
def test_a_referrer_is_its_host(referrer: str, host: str) -> None:
    assert referrer_host(referrer, frozenset(("example.org",))) == host
