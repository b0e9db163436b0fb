"""The Content-Security-Policy: ours stands beside the site's, which is never touched, and names agreed hosts only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware import csp
from tests.html.pages_for_tests import POLICY, POLICY_TEXT, granted

SITE_POLICIES = [
    b"default-src 'none'",
    b"script-src 'nonce-r4nd0m' 'strict-dynamic'; object-src 'none'; base-uri 'none'",
    b"default-src 'self', script-src 'self' https://cdn.example",
    b"frame-ancestors 'none'; report-uri /site-reports",
]


def ours(*purposes: str, mode: str | None = None, once: frozenset[str] = frozenset()) -> str:
    headers = csp.merge(POLICY, granted(*purposes), [], mode=mode, once=once)
    return (headers.enforced or headers.report_only)[-1].decode()


@settings(deadline=None)
@given(st.lists(st.sampled_from(SITE_POLICIES), max_size=3), st.sampled_from(["enforce", "report", "off"]))
def test_the_sites_own_policies_come_back_byte_for_byte_and_first(site: list[bytes], mode: str) -> None:
    headers = csp.merge(POLICY, granted("marketing"), site, nonce="r4nd0m", mode=mode)
    assert list(headers.enforced[: len(site)]) == site
    assert len(headers.enforced) - len(site) == (mode == "enforce")
    assert len(headers.report_only) == (mode == "report")


def test_only_hosts_of_agreed_purposes_are_named() -> None:
    assert "tube.example" not in ours()
    assert "counter.example" not in ours("marketing")
    sources = ours("marketing").split(";")[0].split()
    assert {"tube.example", "*.tube.example", "wss://tube.example", "wss://*.tube.example"} <= set(sources)
    assert {"fonts.example", "*.fonts.example", "example.com", "*.example.com"} <= set(ours().split(";")[0].split())


def test_a_vendor_shown_once_is_named_by_itself() -> None:
    assert "tube.example" in ours(once=frozenset({"Tube & Co"}))
    assert "counter.example" not in ours(once=frozenset({"Tube & Co"}))
    assert "tube.example" not in ours(), "the page view after it is as before"


def test_no_source_is_wider_than_a_host() -> None:
    """A bare scheme, a lone star or a nonce would let everybody in, or switch inline code of the site off."""
    for purposes in ([], ["marketing"], ["marketing", "analytics"]):
        value = ours(*purposes)
        for source in value.split(";")[0].split()[1:]:
            assert source.startswith("'") or "." in source or source in ("data:", "blob:"), source
            assert source not in ("*", "https:", "http:", "wss:", "ws:", "'strict-dynamic'")
        assert "nonce" not in value
        assert "'self'" in value


def test_reports_come_to_our_own_route() -> None:
    headers = csp.merge(POLICY, granted(), [b"default-src 'self'; report-uri /x"], mode="enforce")
    assert headers.enforced[1].endswith(b"; report-uri /_consent/csp-report; report-to consent")
    assert (b"reporting-endpoints", b'consent="/_consent/csp-report"') in headers.pairs()


def test_a_page_without_https_names_the_old_way_of_reporting_only() -> None:
    headers = csp.merge(POLICY, granted(), [], secure=False)
    assert headers.enforced[0].endswith(b"; report-uri /_consent/csp-report")
    assert headers.endpoints == b""


def test_ports_and_addresses_of_hosts_are_kept() -> None:
    policy = POLICY.parse(POLICY_TEXT.replace('"tube.example"', '"tube.example:8443", "127.0.0.1:9001", "[::1]"'))
    value = csp.merge(policy, granted("marketing"), []).enforced[0].decode()
    for source in ("tube.example:8443", "*.tube.example:8443", "127.0.0.1:9001", "ws://127.0.0.1:9001", "[::1]:*"):
        assert source in value.split(";")[0].split()


@pytest.mark.parametrize(
    ("headers", "nonce"),
    [
        ([b"script-src 'nonce-abc123+/='"], "abc123+/="),
        ([b"default-src 'self'", b"script-src 'NONCE-xyz'"], "xyz"),
        ([b"script-src 'nonce-\"><script>'"], None),
        ([b"script-src nonce-abc"], None),
        ([], None),
    ],
)
def test_the_sites_nonce_is_found_for_our_own_tags(headers: list[bytes], nonce: str | None) -> None:
    assert csp.nonce_of(headers) == nonce
