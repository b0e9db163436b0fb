"""How the banner was met: what is counted as shown, and what `consent rates` makes of it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.ledger import Count
from consent_middleware.ledger.rates import BannerRate, PurposeRate, banner_rates, purpose_rates
from tests.pages.sites import TEXT, browser, post


def met(folder: Path) -> list[BannerRate]:
    """Today's rates, once the counters are on disk."""
    ledger = open_ledger(folder / "var")
    today = dt.datetime.now(dt.UTC).date()
    try:
        return banner_rates(ledger.rates(today, today))
    finally:
        ledger.close()


def test_each_way_to_meet_the_banner_is_counted_by_language_without_an_identifier(tmp_path: Path) -> None:
    with browser(tmp_path) as one:
        one.get("/")
        post(one, "accept")
        one.get("/")  # has chosen: nothing is shown
        post(one, "reject", source="control")  # a later change of mind is no answer to a banner
        for choice in ("reject", "save", None, None):
            one.cookies.clear()
            one.get("/")
            if choice:
                post(one, choice, purpose="analytics")
        one.cookies.clear()
        one.get("/", headers={"accept-language": "de"})  # the page says that it is English
        one.get("/_consent/", headers={"accept-language": "de"})  # no banner stands on our own pages
    today = dt.datetime.now(dt.UTC).date().isoformat()
    (rate,) = met(tmp_path)
    assert rate == BannerRate(today, "en", shown=6, accept=1, save=1, reject=2, again=1)
    assert rate.ignored == 3
    assert rate.yes == 0.5


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"referer": "https://search.example/?q=lawyers"}, 1),
        ({"referer": "https://testserver/articles"}, 0),
        ({"referer": "http://["}, 1),
        ({"sec-purpose": "prefetch;prerender"}, 0),
        ({"purpose": "prefetch"}, 0),
        ({"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, 0),
        ({"user-agent": "Mozilla/5.0 (Macintosh) Chrome/126 Safari/537.36"}, 1),
    ],
)
def test_a_banner_counts_once_a_visit_and_for_people(tmp_path: Path, headers: dict[str, str], shown: int) -> None:
    with browser(tmp_path) as visitor:
        visitor.get("/", headers=headers)
    assert sum(rate.shown for rate in met(tmp_path)) == shown


def test_where_nothing_is_asked_nothing_was_shown(tmp_path: Path) -> None:
    with browser(tmp_path, TEXT.replace('default = "opt-in"', 'default = "opt-out"')) as visitor:
        visitor.get("/")
    assert met(tmp_path) == []


def test_sums_over_days_and_purposes() -> None:
    counts = [
        Count("2026-11-20", "shown", "en", 5),
        Count("2026-11-21", "shown", "en", 2),
        Count("2026-11-21", "accept", "cy", 3),
        Count("2026-11-21", "yes analytics banner", "cy", 3),
        Count("2026-11-21", "no analytics preferences", "cy", 1),
        Count("2026-11-21", "withdrawn analytics API", "cy", 2),
    ]
    by_language = banner_rates(counts, lambda count: ("", count.language))
    assert [(rate.language, rate.shown, rate.accept, rate.ignored) for rate in by_language] == [
        ("cy", 0, 3, 0),  # never below zero
        ("en", 7, 0, 7),
    ]
    assert by_language[1].yes is None
    assert purpose_rates(counts) == [PurposeRate("analytics", 3, 1, 2)]


def test_the_table_shows_whole_days_and_says_what_refused_counts(tmp_path: Path) -> None:
    with browser(tmp_path) as visitor:
        visitor.get("/")
        post(visitor, "accept")
        post(visitor, "reject", source="control")
    command = [sys.executable, "-m", "consent_middleware", "rates", "--data-dir", str(tmp_path / "var")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert dt.datetime.now(dt.UTC).date().isoformat() in done.stdout
    assert "…" not in done.stdout
    assert "one that takes a yes back; taken back: analytics 1" in done.stdout
