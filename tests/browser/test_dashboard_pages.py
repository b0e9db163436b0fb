"""The dashboard in Chromium: every panel clicked through, by mouse and by keys, on a phone, in the dark, on paper."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from analytics.anonymise.periods import Period
from analytics.anonymise.release import seal
from analytics.reports.access import Access
from analytics.reports.goals import Goal
from analytics.reports.saved import Annotation, Funnel, Saved
from analytics.store import open_store
from consent_middleware.ledger import open_ledger
from consent_middleware.policy import PrivacyPolicy
from tests.browser.accessibility import violations
from tests.store.sample import fill

POLICY = """
revision = 1
updated = 2026-11-01
[controller]
name = "Example"
address = "1 Road"
contact = "privacy@site.example"
[site]
hosts = ["site.example"]
[[purpose]]
id = "analytics"
title = "Statistics"
description = "Which pages are read"
"""
OVERVIEW_PANELS = ["sources", "pages", "places", "devices", "goals"]


class Dashboard:
    """A service in a process of its own, over a month of visits and sealed days of the week before last."""

    def __init__(self, folder: Path) -> None:
        (folder / "privacy.toml").write_text(POLICY)
        self.data_dir = folder / "var"
        today = dt.datetime.now(dt.UTC).date()
        policy = PrivacyPolicy.load(folder / "privacy.toml")
        with open_store(None, self.data_dir) as store:
            first = today - dt.timedelta(days=32)
            fill(store, 30_000, first=first, last=today, site="site.example", visitors=3000)
            week = Period.of("week", today - dt.timedelta(days=14))
            for period in (week, *(Period.of("day", day) for day in week.days[:3])):
                seal(store, policy, "site.example", period, self.data_dir / "releases")
        ledger = open_ledger(self.data_dir)
        for day in (today, today - dt.timedelta(days=1)):
            for what, n in {"shown": 20, "accept": 6, "save": 2, "reject": 9, "again": 3}.items():
                ledger.count(what, "en", day.isoformat(), n)
        ledger.count("yes analytics banner", "en", n=8)
        ledger.close()
        saved = Saved(self.data_dir)
        saved.add("goal", "site.example", Goal(name="Signed up", event="signup"))
        saved.add("goal", "site.example", Goal(name="Read services", page="/services*"))
        saved.add("funnel", "site.example", Funnel("To the sign-up", ("Read services", "Signed up")))
        saved.add("annotation", "site.example", Annotation("Relaunch", (today - dt.timedelta(days=9)).isoformat()))
        self.token = Access(self.data_dir).create("Ada", "operator")
        # Without the policy file the service seals nothing more by itself: the four releases stay four.
        command = [sys.executable, "-m", "analytics", "serve", "--port", "0", "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder / "var")
        assert self.process.stdout is not None
        text = ""
        while "Ready" not in text:
            line = self.process.stdout.readline()
            assert line, text
            text += line
        self.url = str(re.findall(r"http://\S+", text)[0])

    def sign_in(self, page: Any, path: str = "/") -> Any:
        page.goto(f"{self.url}/login")
        page.fill("#token", self.token)
        page.click("main button")
        page.goto(self.url + path)
        return page


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    running = Dashboard(tmp_path_factory.mktemp("dashboard"))
    yield running
    running.process.terminate()
    assert running.process.wait(60) == 0


NOWHERE = "/?period=day&f=is,event:page,/nowhere"
PAGES = ["/", "/?lane=released", "/ways", "/releases", "/gate", "/log", NOWHERE, "/?from=2020-01-01&to=2020-01-05"]


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_is_silent_on_every_page(dashboard: Dashboard, new_context: Callable[..., Any], colours: str) -> None:
    page = new_context(color_scheme=colours).new_page()
    page.goto(dashboard.url)
    assert violations(page) == []
    dashboard.sign_in(page)
    for path in PAGES:
        page.goto(dashboard.url + path)
        assert violations(page) == [], path


def told_of_a_problem(message: Any) -> bool:
    """A question that is answered meanwhile is not found any more: on a busy machine its bar hears that, and ends."""
    return message.type in ("error", "warning") and "/api/progress/" not in message.location["url"]


@pytest.mark.parametrize("script", [True, False])
def test_every_panel_can_be_clicked_through(
    dashboard: Dashboard, new_context: Callable[..., Any], script: bool
) -> None:
    page = new_context(java_script_enabled=script).new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if told_of_a_problem(message) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(dashboard.url) else problems.append(request.url))
    dashboard.sign_in(page)
    for panel in OVERVIEW_PANELS:
        assert page.locator(f"#{panel} tbody tr").count() > 0, panel
        tabs = page.locator(f"#{panel} .tabs a").count()
        for index in range(tabs) if script else range(1, tabs)[:1]:
            page.locator(f"#{panel} .tabs a").nth(index).click()
            chosen = page.locator("[aria-current=true]")  # on a busy machine the next page is not there yet
            page.locator(f"#{panel} .tabs a").nth(index).and_(chosen).wait_for()
        page.goto(f"{dashboard.url}/")
    before = int(page.locator(".figures b").first.inner_text().replace(",", ""))
    page.locator("#sources tbody a").nth(1).click()
    page.wait_for_load_state()
    source = page.locator(".filters b").inner_text()
    assert parse_qs(urlsplit(page.url).query)["f"] == [f"is,visit:source,{source}"]
    assert 0 < int(page.locator(".figures b").first.inner_text().replace(",", "")) < before
    page.locator(".filters a").click()
    page.wait_for_load_state()
    assert page.locator(".filters").count() == 0
    page.get_by_role("link", name="7 days").click()
    page.wait_for_load_state()
    assert "period=7d" in page.url
    page.get_by_role("link", name="Bounce rate").click()
    page.wait_for_load_state()
    assert page.locator("#h-trend").inner_text() == "Bounce rate"
    for name in ("Ways", "Releases", "Consent and gate", "Query log", "Overview"):
        page.get_by_role("navigation", name="Sections").get_by_role("link", name=name).click()
        page.locator("main h1").wait_for()  # one and no more; under load the next page is there only in part
        assert page.locator("main h1").count() == 1
    assert problems == []


def test_the_lanes_look_different_and_the_released_one_has_error_bars(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page)
    internal = page.evaluate("getComputedStyle(document.querySelector('.top')).backgroundColor")
    assert "Exact numbers" in page.locator(".lane").inner_text()
    page.locator(".switch a", has_text="Released").click()
    page.wait_for_load_state()
    assert page.evaluate("getComputedStyle(document.querySelector('.top')).backgroundColor") != internal
    assert "95 %" in page.locator(".lane").inner_text()
    assert re.search(r"\d to [\d,]+", page.locator(".iv").first.inner_text())
    assert page.locator("#places .fill line").count() >= 3
    page.goto(f"{dashboard.url}/releases")
    assert page.locator(".err line").count() == 4 * 3


def test_it_works_by_keys_alone(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("details.pop summary").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "fd"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
    assert page.locator("details.pop[open]").count() == 0, "left, it would stand in front of what has the focus"


def test_keys_walk_a_phone_from_top_to_bottom(dashboard: Dashboard, new_context: Callable[..., Any]) -> None:
    page = new_context(viewport={"width": 360, "height": 640}).new_page()
    dashboard.sign_in(page)
    above = 0.0
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(e => e === document.body ? null : [e.innerText, e.getBoundingClientRect().top + scrollY,"
            " e.getBoundingClientRect().bottom + scrollY])(document.activeElement)"
        )
        if found is None:
            break
        name, top, bottom = found
        assert bottom > above, name
        above = top


def test_a_filter_can_be_typed_without_a_script(dashboard: Dashboard, plain_page: Any) -> None:
    dashboard.sign_in(plain_page)
    plain_page.locator("details.pop summary").first.click()
    plain_page.select_option("[name=fd]", "visit:browser")
    plain_page.fill("[name=fv]", "Firefox")
    plain_page.get_by_role("button", name="Add").click()
    assert plain_page.locator(".filters b").inner_text() == "Firefox"


def test_dragging_on_the_chart_chooses_the_days(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page)
    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url("**from=*")
    assert parse_qs(urlsplit(page.url).query).keys() >= {"from", "to"}
    assert "to" in page.locator(".pop[data-set] summary").inner_text()


def test_states_are_told_in_words(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page, "/?from=2020-01-01&to=2020-01-05")
    assert "Nothing in this period" in page.locator("main").inner_text()
    page.goto(f"{dashboard.url}/?f=is,visit:sauce,x")
    assert "not a filter" in page.locator("main").inner_text()
    page.goto(f"{dashboard.url}/?site=elsewhere.example")
    assert "No such site" in page.locator("main").inner_text()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page.goto(f"{dashboard.url}/?from={today}&to={today}&f=contains,event:page,/news/1")
    text = page.locator("main").inner_text()
    assert "Too few visitors to show" in text or "Nothing in this period" in text


def test_the_rates_tell_how_the_banner_was_met_by_language_and_day(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page, "/gate")
    by_language = page.get_by_role("table", name="By language").locator("tbody tr")
    # Shown, accepted, partly, refused; of 34 choices 6 came later, so 28 of 40 banners were answered.
    assert by_language.inner_text().split() == ["en", "40", "12", "4", "18", "12", "47", "%"]
    assert page.get_by_role("table", name="By day").locator("tbody tr").count() == 2
    assert page.get_by_role("table", name="By purpose").locator("tbody tr").inner_text().split() == [
        *("analytics", "8", "0", "0")
    ]


def test_nothing_runs_over_the_edge_of_a_phone(dashboard: Dashboard, new_context: Callable[..., Any]) -> None:
    page = new_context(viewport={"width": 360, "height": 740}, has_touch=True).new_page()
    dashboard.sign_in(page)
    for path in PAGES:
        page.goto(dashboard.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_it_prints_without_its_controls(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page)
    page.emulate_media(media="print")
    assert not page.locator(".top").is_visible()
    assert not page.locator(".tools").is_visible()
    assert page.locator("#pages table").is_visible()


def test_the_first_view_is_light(dashboard: Dashboard, new_context: Callable[..., Any]) -> None:
    page = new_context().new_page()
    dashboard.sign_in(page)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"{dashboard.url}/")
    page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < 100_000


def test_the_page_of_the_log_shows_what_was_asked(dashboard: Dashboard, page: Any) -> None:
    dashboard.sign_in(page)
    page.goto(f"{dashboard.url}/log")
    assert "visitors, pageviews by event:page" in page.locator("main").inner_text()
    log = next(iter((dashboard.data_dir / "query-log").glob("*.jsonl")))
    assert json.loads(log.read_text().splitlines()[0])["name"] == "Ada"
