"""What may be kept of a visit: with consent, without, and where another rule allows a key for one day."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from consent_middleware.capture import visitor_key
from consent_middleware.visit import HOUR_MS, Captured
from tests.capture.reading import ADDRESS, CHROME, VISITOR, Kept, decided, request, undecided

FULL = request("/join", "utm_source=news&gclid=abc&page=2", referer="https://www.google.com/search?q=secret")


def test_with_consent_a_page_view_carries_the_visitors_key_and_no_address_or_cookie(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.view(decided(kept.policy, "analytics"), FULL)
    [row] = kept.rows()
    assert (row.kind, row.basis, row.visitor) == ("view", "consent", visitor_key(VISITOR))
    assert (row.path, row.query, row.referrer) == ("/join", "utm_source=news", "google.com")
    assert (row.country, row.language, row.status, row.revision) == ("GB", "en-GB", 200, 3)
    assert ADDRESS not in kept.text()
    assert VISITOR not in kept.text()


@pytest.mark.parametrize("refused", [True, False])
def test_without_consent_a_count_has_page_status_hour_and_bot_and_nothing_else(tmp_path: Path, refused: bool) -> None:
    kept = Kept(tmp_path)
    kept.view(decided(kept.policy) if refused else undecided(kept.policy), FULL)
    [row] = kept.rows()
    assert row.time % HOUR_MS == 0
    blank = Captured(site="example.org", time=row.time, kind="count", name="pageview")
    expected = msgspec.structs.replace(blank, path="/join", status=200, automated=0, basis="counts", revision=3)
    assert row == expected
    assert CHROME not in kept.text()


def test_a_robot_is_counted_as_one_without_consent(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.view(undecided(kept.policy), request(user_agent="Mozilla/5.0 (compatible; Googlebot/2.1)"))
    assert kept.rows()[0].automated == 1


def test_nothing_is_kept_without_consent_when_the_policy_says_so(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "nothing")
    kept.view(undecided(kept.policy))
    kept.view(decided(kept.policy))
    assert kept.rows() == []


@pytest.mark.parametrize(
    ("regime", "basis"), [("uk-statistics", "uk-statistics"), ("fr-audience", "fr-audience"), ("opt-in", "counts")]
)
def test_a_daily_key_exists_only_where_the_regime_allows_it(tmp_path: Path, regime: str, basis: str) -> None:
    kept = Kept(tmp_path, "daily-key")
    kept.view(undecided(kept.policy, regime), visitor=None)
    [row] = kept.rows()
    assert row.basis == basis
    assert bool(row.visitor) == (basis != "counts")


def test_an_objection_or_a_signal_leads_to_counts_in_every_regime(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "daily-key")
    for regime in ("uk-statistics", "fr-audience", "opt-out"):
        kept.view(decided(kept.policy, regime=regime))
        kept.view(undecided(kept.policy, regime, signals=("gpc",)))
    assert {row.basis for row in kept.rows()} == {"counts"}


def test_where_the_law_starts_from_permission_the_cookie_or_the_daily_key_is_used(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.view(undecided(kept.policy, "opt-out"))
    kept.view(undecided(kept.policy, "opt-out"), visitor=None)
    with_cookie, without = kept.rows()
    assert (with_cookie.basis, with_cookie.visitor) == ("opt-out", visitor_key(VISITOR))
    assert without.visitor not in (0, visitor_key(VISITOR))


def test_a_daily_key_is_the_same_all_day_and_another_tomorrow_and_its_salt_is_destroyed(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "daily-key")
    day = 86_400.0
    key = kept.salts.key
    assert key(ADDRESS, CHROME, "a", now=10 * day) == key(ADDRESS, CHROME, "a", now=11 * day - 1)
    other_worker = Kept(tmp_path, "daily-key").salts
    assert other_worker.key(ADDRESS, CHROME, "a", now=10 * day + 5) == key(ADDRESS, CHROME, "a", now=10 * day + 6)
    assert key(ADDRESS, CHROME, "a", now=10 * day) != key(ADDRESS, CHROME, "a", now=11 * day)
    assert (
        len({key(*who, now=10 * day) for who in ((ADDRESS, CHROME, "a"), (ADDRESS, CHROME, "b"), ("", CHROME, "a"))})
        == 3
    )
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "salts").iterdir()} == {0o600}
    key(ADDRESS, CHROME, "a", now=12 * day)
    assert [path.stem for path in sorted((tmp_path / "salts").iterdir())] == ["11", "12"]


def test_paths_that_the_policy_excludes_are_not_captured(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.view(decided(kept.policy, "analytics"), request("/private/letter"))
    assert kept.rows() == []


def test_events_of_the_site_need_a_basis_and_lose_properties_that_identify(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.handle(undecided(kept.policy), request("/join"), None).event("signup", plan="pro")
    visit = kept.handle(decided(kept.policy, "analytics"), request("/join"), VISITOR)
    visit.event("signup", plan="pro", email="mary@example.net", seats=3, paid=True, card="4111 1111 1111 1111")
    [row] = kept.rows()
    assert (row.kind, row.name, row.path) == ("event", "signup", "/join")
    assert row.props == {"plan": "pro", "seats": "3", "paid": "true"}


def test_a_capture_that_fails_is_counted_and_never_raises(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.view(decided(kept.policy, "analytics"), {"type": "http", "path": None, "headers": []})
    assert kept.capture.failures == 1
