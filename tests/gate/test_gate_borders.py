"""The gate at its borders: names, spaces, lifetimes to the second, deletions without a repetition.

Everything is built inside the tests: `make mutants` plants its faults after the test files were read.
"""

from __future__ import annotations

from email.utils import formatdate

import pytest

from consent_middleware.gate import (
    MAX_EXPIRY_BYTES,
    REMEMBERED_NAME_BYTES,
    REMEMBERED_NAMES,
    REMEMBERED_SHAPES,
    REMEMBERED_SHAPES_BYTES,
    CookieRules,
    cookie_pairs,
    deletions,
    expire,
    filter_set_cookie,
    host_name,
)
from consent_middleware.request_cookies import NOTHING
from tests.gate.policies import SHOP, policy

NOW = 1_795_000_000
ALLOWED = frozenset({"necessary", "analytics"})
ODD = (
    '[[cookie]]\nname = "kept_here"\npurpose = "analytics"\nkind = "session"\n'
    '[[cookie]]\nname = "__Host-deep"\npurpose = "marketing"\npath = "/deep"\n'
    '[[cookie]]\nname = "dotted"\npurpose = "marketing"\ndomain = ".Xample.org"\n'
    '[[cookie]]\nname = "parent"\npurpose = "marketing"\ndomain = "example.org"\n'
    '[[cookie]]\nname = "*end"\npurpose = "analytics"\n'
)


def rules(*, secure: bool = True) -> CookieRules:
    return CookieRules(policy(SHOP + ODD), secure=secure)


def test_each_declaration_is_read_whole() -> None:
    found = rules()
    assert found.find(b"kept_here") is None, "session storage is no cookie, and what stands behind it is read too"
    assert found.find(b"theme") is None, "nor is local storage"
    lifetimes = {name: rule.lifetime for name in (b"sid", b"basket", b"_ga_1") if (rule := found.find(name))}
    assert lifetimes == {b"sid": 86_400, b"basket": None, b"_ga_1": 13 * 2_629_800}
    offer = found.find(b"offer")
    assert offer is not None
    assert (offer.purpose, offer.domain, offer.path, offer.own) == ("marketing", "example.org", "/shop", False)
    assert {rule.name for rule in found.exact()}.isdisjoint({b"__Host-consent", b"__Host-visitor"})
    purposes = {
        name: rule.purpose for name in (b"_ga_1", b"_ga_ads1", b"_ga", b"_ga_a\nb") if (rule := found.find(name))
    }
    assert purposes == {b"_ga_1": "analytics", b"_ga_ads1": "marketing", b"_ga": "analytics", b"_ga_a\nb": "analytics"}
    for name in (b"_ga_1", b"unknown"):
        assert found.find(name) is found.find(name), "the second look says what the first one said"


def test_spaces_and_tabs_are_no_part_of_a_name_and_everything_else_is() -> None:
    found = rules()
    assert found.read(b" \tsid \t=1").named[0][0] == b"sid"
    assert found.read(b"\x0bsid=1").named == [(b"\x0bsid", None)]
    assert found.read(b"\x0b").named == [(b"", None)], "a cookie without a name"
    name, nothing = found.read(b" \t").named[0]
    assert (name, nothing.purpose if nothing else None) == (b"", "")
    assert cookie_pairs(b"\x0ba =\x0b1\t; \x0c; b; ;") == [(b"\x0ba", b"\x0b1"), (b"", b"\x0c"), (b"", b"b")]


def test_a_request_loses_what_is_named_and_keeps_every_other_byte() -> None:
    left = rules().read(b" sid=1; track=2; offer=3; nameless;  _ga=4").filtered(ALLOWED)
    assert left.value == b"sid=1;  _ga=4"
    assert (left.undeclared, left.not_granted) == ((b"track", b""), (b"offer",))
    assert rules().read(b"track=1; \t\x0bend=2").filtered(ALLOWED).value == b"\x0bend=2"


def test_the_values_of_a_repeated_cookie_come_in_their_order() -> None:
    found = rules()
    sid = found.find(b"sid")
    assert sid is not None
    assert found.read(b"sid=1; sid= a=b \t; x=1; sid=\x0b3").values(sid) == [b"1", b"a=b", b"\x0b3"]


def test_names_in_any_spelling_do_not_fill_the_memory() -> None:
    found = rules()
    found.read(b"; ".join(b"n%d=1" % number for number in range(REMEMBERED_NAMES + 100)))
    found.read(b"n" * REMEMBERED_NAME_BYTES + b"=1")
    few = rules()
    few.read(b"n" * 100_000 + b"=1")
    assert len(found._remembered) == REMEMBERED_NAMES
    assert len(few._remembered) == 0
    for number in range(3 * REMEMBERED_SHAPES):
        few.read(b"n%d=1; sid=2" % number)
    few.read(b"n" * REMEMBERED_SHAPES_BYTES + b"=1")
    assert len(few._shapes) + len(few._shapes.old) <= 2 * REMEMBERED_SHAPES
    assert max(map(len, few._shapes)) < 100


def test_a_cookie_without_a_name_is_told_from_one_that_is_spelled_the_same() -> None:
    found = rules()
    headers = (b"sid; x=1", b"sid=1; x=1", b"=1; x=1", b"==; x=1", b"; x=1", b" ; x=1")
    names = [[name for name, _ in found.read(header).named] for header in headers]
    assert [[name for name, _ in found.read(header).named] for header in headers] == names, "the second time too"
    assert names == [[b"", b"x"], [b"sid", b"x"], *4 * [[b"", b"x"]]]
    empty = [found.read(header).named[0][1] is NOTHING for header in headers]
    assert empty == [False, False, False, False, True, True]
    assert found.read(b"sid; x=1").filtered(ALLOWED).value is None
    assert found.read(b"sid=1; x=1").filtered(ALLOWED).value == b"sid=1"


@pytest.mark.parametrize(
    ("header", "name", "reason"),
    [
        (b"tra\x01ck=1; Path=/", b"tra\x01ck", "control-character"),
        (b"track=1", b"track", "undeclared"),
        (b"track=1; Max-Age=1", b"track", "undeclared"),
        (b"offer=1", b"offer", "not-granted"),
        (b"__Host-consent=1; Path=/; Secure", b"__Host-consent", "own-cookie"),
        (b"__Host-visitor=1; Path=/; Secure", b"__Host-visitor", "own-cookie"),
        (b"sid=1; Max-Age=86400", b"sid", ""),
        (b"sid=1; Max-Age=86401", b"sid", "lifetime-cut"),
        (b"track=1; Max-Age=0", b"track", ""),
    ],
)
def test_what_becomes_of_a_cookie_names_it(header: bytes, name: bytes, reason: str) -> None:
    done = filter_set_cookie(header, rules(), ALLOWED, NOW)
    assert (done.name, done.reason) == (name, reason)
    if not reason:
        assert done.value == header


@pytest.mark.parametrize(("seconds", "reason"), [(86_400, ""), (86_460, ""), (86_461, "lifetime-cut")])
def test_a_date_may_lie_a_minute_beyond_because_another_clock_wrote_it(seconds: int, reason: str) -> None:
    header = f"sid=1; Expires={formatdate(NOW + seconds, usegmt=True)}".encode()
    assert filter_set_cookie(header, rules(), ALLOWED, NOW).reason == reason


def places(name: bytes, host: str, *, secure: bool = True) -> list[tuple[bytes, bytes]]:
    """(Domain, Path) of each deletion of a name, in order, the partitioned ones aside."""
    found = []
    for value in deletions([name], rules(secure=secure), host=host):
        if not value.endswith(b"; Partitioned"):
            parts = dict(part.partition(b"=")[::2] for part in value.split(b"; "))
            found.append((parts.get(b"Domain", b""), parts[b"Path"]))
    return found


def test_a_deletion_goes_everywhere_once_and_nowhere_else() -> None:
    assert places(b"unknown", "www.example.org") == [(b"", b"/"), (b"www.example.org", b"/"), (b"example.org", b"/")]
    assert places(b"parent", "example.org") == [(b"", b"/"), (b"example.org", b"/")], "its own domain is a parent"
    assert places(b"parent", "localhost") == [(b"", b"/"), (b"example.org", b"/")]
    assert places(b"dotted", "localhost") == [(b"", b"/"), (b"xample.org", b"/")]
    assert places(b"__Host-deep", "www.example.org") == [(b"", b"/")], "it can't have a Domain or another Path"
    assert places(b"consent", "www.example.org", secure=False) == [(b"", b"/")], "our own is set for one host"
    assert places(b"offer", "localhost") == [
        (b"", b"/"), (b"", b"/shop"), (b"example.org", b"/"), (b"example.org", b"/shop"),
    ]  # fmt: skip
    values = expire(policy(), names=[b"gone", b""], purposes=None, host="localhost", secure=True, undeclared=True)
    assert [value for value in values if value.startswith(b"gone=")]
    assert not [value for value in values if value.startswith(b"=")]


@pytest.mark.parametrize(("spare", "twice"), [(0, True), (-1, False)])
def test_deletions_fit_into_what_proxies_take(spare: int, twice: bool) -> None:
    whole = len(b"n=; Max-Age=0; Path=/; Secure") - 1
    # Two names, each as it is and once more as a partitioned cookie.
    room = (MAX_EXPIRY_BYTES - 2 * len(b"; Partitioned") - 4 * whole) // 2
    names = [b"a" * (room // 2), b"b" * (room - room // 2)]
    if spare:
        names[0] += b"a"
    values = deletions(names, rules(), host="localhost")
    assert any(value.endswith(b"; Partitioned") for value in values) is twice
    assert sum(map(len, values)) == MAX_EXPIRY_BYTES if twice else len(values) == 2


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Example.ORG:8443", "example.org"),
        ("example.org.", "example.org"),
        (".example.org", ".example.org"),
        ("example.org ", "example.org "),
        ("a:b:c", "a"),
        ("[::1]:80", "[::1]"),
        ("[FE80::1]", "[fe80::1]"),
        ("[::1]]:80", "[::1]"),
    ],
)
def test_a_host_header_names_a_host(header: str, name: str) -> None:
    assert host_name(header) == name
