"""What a visitor may leave for the analyst to open, and what an analyst, a guest or another site may try."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from html import unescape
from pathlib import Path
from unittest import mock

import pytest

from analytics.ingest.loader import load_pending
from analytics.reports import guard
from analytics.reports.access import Access
from analytics.reports.reporting import Reporting
from analytics.store import Store
from consent_middleware import token as tokens
from consent_middleware.decision import Choice
from consent_middleware.token import BadToken, ConsentTokens
from tests.attacks.test_site import active
from tests.gate.driving import POLICY
from tests.ingest.rows import POLICY as SPOOLED
from tests.ingest.rows import row as spooled
from tests.ingest.rows import spool_rows
from tests.reports.conftest import row
from tests.reports.test_http import Outside

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}{%x%}"
PAGES = (
    "/",
    "/?site=site.example&period=30d",
    "/ways?site=site.example&page=/a",
    "/releases",
    "/gate",
    "/log",
    "/login",
)


@pytest.fixture
def outside(reporting: Callable[..., Reporting]) -> Outside:
    fields = ("source", "channel", "utm_source", "utm_medium", "utm_campaign", "referrer_host", "browser", "os", "city")
    left = dict.fromkeys(fields, HOSTILE) | {"country": "<b", "name": HOSTILE, "props": {HOSTILE: HOSTILE}}
    rows = [row(n, f"2026-11-19 10:{n:02}:00", "/a" + HOSTILE, **left) for n in range(1, 21)]
    return Outside(reporting([*rows, *[{**r, "kind": "event"} for r in rows]]))


def test_nothing_that_a_visitor_sent_runs_in_the_analysts_browser(outside: Outside) -> None:
    operator = outside.access.create(HOSTILE, "operator")
    seen = ""
    for page in PAGES:
        answer = outside.call("GET", page, operator)
        assert answer.status_code == 200, page
        found = [what for what in active(answer.text) if what != "script" or "<script>alert" in answer.text]
        assert found == [], page
        assert "49{%x%}" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
        seen += unescape(answer.text)
    assert HOSTILE in seen, "the rows were shown at all"


@pytest.mark.parametrize("door", ["/login", "/logout"])
@pytest.mark.parametrize(
    "sender", [{"origin": "https://evil.example"}, {"origin": "null", "sec-fetch-site": "cross-site"}]
)
def test_another_site_signs_nobody_in_or_out(outside: Outside, door: str, sender: dict[str, str]) -> None:
    answer = outside.call("POST", door, data={"token": outside.analyst}, headers=sender)
    assert "set-cookie" not in answer.headers


def test_signing_in_takes_up_no_session_that_was_there_before(outside: Outside) -> None:
    planted = guard.Sessions(outside.access).seal(outside.access.find(outside.analyst) or pytest.fail("no grant"))
    operator = outside.access.create("Olga", "operator")
    answer = outside.call(
        "POST", "/login", data={"token": operator},
        headers={"cookie": f"{guard.COOKIE}={planted}", "origin": "http://stats.example"},
    )  # fmt: skip
    issued = answer.headers["set-cookie"]
    assert planted not in issued
    assert "HttpOnly" in issued
    assert "SameSite=lax" in issued


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "x"]
)
def test_signing_in_leads_to_own_pages_only(outside: Outside, target: str) -> None:
    fields = {"token": outside.analyst, "next": target}
    answer = outside.call("POST", "/login", data=fields, headers={"origin": "http://stats.example"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"


def test_a_stranger_can_not_choose_the_address_that_is_counted(outside: Outside) -> None:
    """The door shuts by the peer's own address: a forwarded one is anybody's to write."""
    for number in range(12):
        headers = {"x-forwarded-for": f"192.0.2.{number}", "forwarded": f"for=192.0.2.{number}"}
        last = outside.call("GET", "/api/sites", "ana_wrong-token-number-" + str(number), headers=headers)
    assert last.status_code == 429


def test_a_file_that_is_taken_away_runs_no_formula(outside: Outside, reporting: Callable[..., Reporting]) -> None:
    reporting([row(n, f"2026-11-18 10:{n:02}:00", "=HYPERLINK(1)") for n in range(1, 9)])
    answer = outside.ask(path="/api/v2/export?format=csv", dimensions=["event:page"])
    assert answer.status_code == 200
    assert "=HYPERLINK" in answer.text
    assert "\n=HYPERLINK" not in answer.text
    assert ",=HYPERLINK" not in answer.text


def test_a_path_in_any_quotes_is_stored_as_it_came(store: Store, tmp_path: Path) -> None:
    names = ["/'); DROP TABLE events; --", '/"\\', "/\\'", "/`x`", "/{x:String}", "/%s{}", "/\\N", "/a\\tb", "/\u2028"]
    spool_rows(tmp_path, [spooled(n, path=name, name=name) for n, name in enumerate(names)])
    assert load_pending(store, tmp_path, SPOOLED).rows == len(names)
    assert sorted(name for (name,) in store.query("SELECT path FROM events")) == sorted(names)


def test_every_secret_is_compared_in_constant_time(tmp_path: Path) -> None:
    """A wrong value is never found out byte by byte: each comparison is compare_digest, over whole digests."""
    signer = ConsentTokens(["a key", "another"], POLICY)
    good = signer.encode(Choice(frozenset(), None, 1_800_000_000, POLICY.fingerprint))
    compared: list[int] = []

    def comparing(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return hmac.compare_digest(one, other)

    with mock.patch.object(tokens, "compare_digest", comparing), mock.patch.object(tokens, "hmac") as shown:
        shown.compare_digest, shown.digest = comparing, hmac.digest
        signer.decode(good, 1_800_000_100)
        assert len(compared) == 1
        with pytest.raises(BadToken):
            signer.decode(good[:-2] + "xx", 1_800_000_100)
    assert len(compared) > 1
    assert set(compared) <= {32, 43}, "whole signatures: 32 bytes, or 43 characters of base64url"
    access = Access(tmp_path)
    access.create("Ada", "analyst")
    with mock.patch.object(secrets, "compare_digest", wraps=secrets.compare_digest) as looked_up:
        assert access.find("ana_" + "x" * 43) is None
    assert [len(call.args[0]) for call in looked_up.call_args_list] == [64]
