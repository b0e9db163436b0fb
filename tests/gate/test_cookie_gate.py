"""The gate against a slow browser written from RFC 6265bis: nothing ungranted passes, nothing granted changes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consent_middleware import set_cookie
from consent_middleware.gate import CookieRules, cookie_pairs, expire, filter_set_cookie
from tests.gate import browser_by_the_rfc as browser
from tests.gate.policies import policy

NOW = 1_795_000_000.0
POLICY = policy()
RULES = {secure: CookieRules(POLICY, secure=secure) for secure in (True, False)}
ALLOWED = frozenset({"necessary", "analytics"})
LIFETIMES = {b"sid": 86_400, b"basket": None, b"__Host-csrf": None, b"_ga": 34_187_400}


def granted(name: bytes) -> bool:
    """What the policy of these tests says about a name, decided by hand."""
    if name in LIFETIMES:
        return True
    return name.startswith(b"_ga_") and not name.startswith(b"_ga_ads")


def declared_lifetime(name: bytes) -> int | None:
    return LIFETIMES.get(name, 34_187_400)


names = st.sampled_from(
    [
        *(
            b"sid",
            b"basket",
            b"_ga",
            b"_ga_X1",
            b"_ga_ads1",
            b"_gat",
            b"offer",
            b"track",
            b"",
            b"SID",
            b"sid ",
            b"\tsid",
        ),
        b"__Host-csrf",
        b"__host-csrf",
        b"__Host-consent",
        b"consent",
        b"__Host-visitor",
        b"_ga_\xff",
        b"_ga,sid",
        b'"_ga"',
    ]
)
spaces = st.sampled_from([b"", b"", b"", b" ", b"\t", b"  \t"])
values = st.one_of(
    st.sampled_from(
        [b"", b"1", b'"a b"', b"a=b", b"sid=1", b"x, y", b"\xc3\xa4", b"__Host-sid=1", b"a\x00b", b"x" * 4100]
    ),
    st.binary(max_size=12),
)
dates = st.one_of(
    st.sampled_from(
        [
            b"Thu, 01 Jan 1970 00:00:00 GMT",
            b"Wed, 21 Oct 2099 07:28:00 GMT",
            b"Wed, 21-Oct-26 07:28:00 GMT",
            b"21 oct 2126 1:2:3",
            b"Sun Nov 22 12:00:00 2026",
            b"31 Feb 2030 00:00:00",
            b"1:2:3 4 may 5",
            b"99 Jan 99 9:9:9",
            b"0",
            b"",
        ]
    ),
    st.builds(
        lambda parts: b" ".join(parts),
        st.permutations([b"07:28:00", b"21", b"Dec", b"2026"]).map(list),
    ),
    st.binary(max_size=24),
)
ages = st.one_of(
    st.sampled_from([b"", b"-", b"0", b"-1", b"+5", b"1e3", b"60", b"86400", b"86401", b"34187400", b"9" * 30, b"5x"]),
    st.integers(-10, 40_000_000).map(lambda age: b"%d" % age),
)


def spelled(label: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([label, label.lower(), label.upper()])


attributes = st.one_of(
    st.tuples(spelled(b"Max-Age"), st.just(b"="), ages),
    st.tuples(spelled(b"Expires"), st.just(b"="), dates),
    st.tuples(spelled(b"Domain"), st.just(b"="), st.sampled_from([b"", b".", b".Example.org", b"example.org"])),
    st.tuples(spelled(b"Path"), st.just(b"="), st.sampled_from([b"", b"/", b"/shop", b"shop", b"/" + b"a" * 1030])),
    st.tuples(spelled(b"SameSite"), st.just(b"="), st.sampled_from([b"None", b"Lax", b"strict", b"odd"])),
    st.sampled_from([(b"Secure",), (b"HttpOnly",), (b"Partitioned",), (b"Priority", b"=", b"High"), (b"",), (b"=",)]),
)


@st.composite
def set_cookies(draw: st.DrawFn) -> bytes:
    """Set-Cookie headers as good and bad sites send them."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    header = draw(spaces) + draw(names) + draw(spaces)
    if draw(st.integers(0, 7)):
        header += b"=" + draw(spaces) + draw(values) + draw(spaces)
    for attribute in draw(st.lists(attributes, max_size=6)):
        header += b";" + draw(spaces) + draw(spaces).join(attribute) + draw(spaces)
    return header


def filtered(header: bytes, secure: bool = True) -> bytes | None:
    return filter_set_cookie(header, RULES[secure], ALLOWED, NOW).value


def lasts(cookie: browser.Stored) -> bool:
    return cookie.expires is None or cookie.expires > NOW


@settings(max_examples=500, deadline=None)
@given(set_cookies(), st.booleans())
@example(b"track=1; Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5", True)
@example(b"_ga_ads1=1; Max-Age=0; Max-Age=-", True)
@example(b"track=1; Max-Age=" + b"0" * 1025, True)
def test_no_header_lets_an_ungranted_cookie_into_a_browser(header: bytes, secure: bool) -> None:
    passed = filtered(header, secure)
    stored = browser.receive(passed, NOW, https=secure) if passed is not None else None
    if stored is not None and lasts(stored):
        assert granted(stored.name)


@settings(max_examples=500, deadline=None)
@given(set_cookies(), st.booleans())
@example(b"sid=1; max-age=99999; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Path=/x; odd; Secure", True)
def test_a_granted_cookie_keeps_its_bytes_or_loses_only_what_its_lifetime_has_too_much(
    header: bytes, secure: bool
) -> None:
    stored = browser.receive(header, NOW, https=secure)
    if stored is None or not granted(stored.name):
        return
    passed = filtered(header, secure)
    assert passed is not None
    lifetime = declared_lifetime(stored.name)
    if stored.expires is None or stored.expires <= NOW:
        assert passed == header
        return
    left = stored.expires - NOW
    if lifetime is not None and left <= lifetime:
        assert passed == header
        return
    again = browser.receive(passed, NOW, https=secure)
    assert again is not None
    assert again._replace(expires=None) == stored._replace(expires=None)
    if lifetime is None:
        assert again.expires is None
    else:
        # An Expires date may be a minute long: it was written by another clock.
        assert again.expires is not None
        assert again.expires - NOW <= lifetime + 60


@settings(max_examples=500, deadline=None)
@given(set_cookies())
def test_whatever_deletes_a_cookie_passes_byte_for_byte(header: bytes) -> None:
    stored = browser.receive(header, NOW)
    if stored is not None and not lasts(stored):
        assert filtered(header) == header


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(spaces, names, st.booleans(), values, spaces), max_size=8), st.booleans())
def test_the_request_keeps_the_granted_pairs_in_order_and_nothing_else(
    parts: list[tuple[bytes, bytes, bool, bytes, bytes]], secure: bool
) -> None:
    header = b";".join(
        before + name + (b"=" if equals else b"") + value + after for before, name, equals, value, after in parts
    )
    kept = RULES[secure].read(header).filtered(ALLOWED)
    assert cookie_pairs(header) == browser.pairs(header)
    own = {b"__Host-consent", b"__Host-visitor"} if secure else {b"consent", b"visitor"}
    before = browser.pairs(header)
    expected = [(name, value) for name, value in before if granted(name) or name in own]
    if expected == before:
        assert kept.value == header
    elif not expected:
        assert kept.value is None
    else:
        assert kept.value is not None
        assert browser.pairs(kept.value) == expected
        # The bytes of what stays are those that came, and in that order.
        segments = [segment for segment in header.split(b";") if segment.strip(b" \t")]
        remaining = iter(segments)
        assert all(
            any(kept_segment == segment or segment.lstrip(b" \t") == kept_segment for segment in remaining)
            for kept_segment in kept.value.split(b";")
        )


@given(dates)
def test_dates_are_read_as_the_rfc_reads_them(text: bytes) -> None:
    assert set_cookie.cookie_date(text) == browser.date(text)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"track=1", "undeclared"),
        (b"offer=1", "not-granted"),
        (b"theme=1", "undeclared"),  # declared as a storage key, which no header sets
        (b"__Host-consent=x; Secure; Path=/", "own-cookie"),
        (b"sid=1\x00; Path=/", "control-character"),
        (b"sid=1; Max-Age=86401", "lifetime-cut"),
        (b"sid=1; SameSite=None", "samesite-none-without-secure"),
        (b"sid=1; Partitioned", "partitioned-without-secure"),
        (b"__Host-csrf=1; Path=/", "prefix-without-secure"),
        (b"__Host-csrf=1; Path=/; Secure; Domain=example.org", "host-prefix-with-domain-or-path"),
        (b"sid=" + b"x" * 4100, "too-long"),
        (b"sid=1; Path=/; Secure; HttpOnly; SameSite=Lax", ""),
    ],
)
def test_what_becomes_of_a_cookie_has_a_reason(header: bytes, reason: str) -> None:
    assert filter_set_cookie(header, RULES[True], ALLOWED, NOW).reason == reason


def test_a_longer_pattern_wins_over_a_shorter_one_and_an_exact_name_over_both() -> None:
    purposes = {name: rule.purpose for name in (b"_ga_1", b"_ga_ads1", b"_ga") if (rule := RULES[True].find(name))}
    assert purposes == {b"_ga_1": "analytics", b"_ga_ads1": "marketing", b"_ga": "analytics"}


def test_names_that_sites_invent_do_not_fill_the_memory() -> None:
    rules = CookieRules(POLICY, secure=True)
    for number in range(10_000):
        rules.find(b"n%d" % number)
    rules.find(b"n" * 100_000)
    assert len(rules._remembered) <= 4096


def deletions(host: str, *names: bytes, secure: bool = True, purposes: frozenset[str] | None = None) -> set[bytes]:
    return set(expire(POLICY, names=names, purposes=purposes, host=host, secure=secure))


def test_a_withdrawn_cookie_is_deleted_for_the_host_and_its_parents_up_to_the_public_suffix() -> None:
    assert deletions("a.b.example.co.uk:8443", b"_ga", purposes=frozenset({"analytics"})) >= {
        b"_ga=; Max-Age=0; Path=/; Secure",
        b"_ga=; Max-Age=0; Path=/; Domain=a.b.example.co.uk; Secure",
        b"_ga=; Max-Age=0; Path=/; Domain=b.example.co.uk; Secure",
        b"_ga=; Max-Age=0; Path=/; Domain=example.co.uk; Secure",
    }
    assert not any(b"Domain=co.uk" in value for value in deletions("a.b.example.co.uk", b"_ga"))


def test_a_deletion_repeats_domain_and_path_of_the_declaration_even_of_a_cookie_not_sent_here() -> None:
    found = deletions("www.example.org", purposes=frozenset({"marketing"}))
    assert b"offer=; Max-Age=0; Path=/shop; Domain=example.org; Secure" in found
    assert b"offer=; Max-Age=0; Path=/; Domain=example.org; Secure; Partitioned" in found


def test_only_withdrawn_purposes_lose_their_cookies() -> None:
    assert not deletions("example.org", b"sid", b"_ga_1", purposes=frozenset({"other"}))
    assert not deletions("example.org", b"unknown", purposes=frozenset({"analytics"}))


def test_hosts_that_have_no_parents_or_are_no_names_get_a_plain_deletion() -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "evil; Secure", "a b", ""):
        domains = {value.partition(b"Domain=")[2] for value in deletions(host, b"_ga", secure=False)}
        assert domains <= {b"", b"localhost", b"example.org"}, host


@given(st.binary(max_size=40))
def test_a_deletion_is_one_for_every_browser(suffix: bytes) -> None:
    name = b"_ga_" + bytes(octet for octet in suffix if octet not in b";=" and octet > 0x20 and octet != 0x7F)
    for secure in (True, False):
        for value in expire(POLICY, names=[name], purposes=None, host="example.org", secure=secure):
            stored = browser.receive(value, NOW, https=secure)
            assert stored is not None
            assert stored.name == name or stored.name == b"offer"
            assert stored.expires == float("-inf")
