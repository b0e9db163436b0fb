"""Rows 22 to 29 of docs/compliance.md: regimes, signals, Google tags, and what the file refuses."""

from __future__ import annotations

from typing import Any

import pytest

from consent_middleware.policy import PolicyError, PrivacyPolicy
from tests.browser.helping import choose, cookie_names, eventually

BEHIND_CDN = '[site]\ntrusted_proxies = ["127.0.0.1"]\ncountry_header = "cf-ipcountry"\n'
SIGNALS = ("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")


def with_regimes(regimes: str) -> Any:
    def change(text: str) -> str:
        text = text.replace("[site]\n", BEHIND_CDN).replace('default = "opt-in"', f'default = "opt-in"\n{regimes}')
        return text.replace('without_consent = "counts"', 'without_consent = "daily-key"')

    return change


def rows(site: Any) -> list[str]:
    folder = site.data_dir / "spool"
    return [line for path in folder.rglob("*.rows") for line in path.read_text().rstrip("\0").splitlines()]


def state(page: Any, site: Any) -> dict[str, Any]:
    return page.request.get(site.url + "/_consent/state").json()  # type: ignore[no-any-return]  # JSON of our own route


@pytest.fixture(scope="module")
def british(run_site: Any) -> Any:
    return run_site(with_regimes('GB = "uk-statistics"'))


def test_row_22_uk_statistics_are_aggregate_and_say_so(british: Any, new_context: Any) -> None:
    page = new_context(extra_http_headers={"cf-ipcountry": "GB"}).new_page()
    page.goto(british.url + "/articles", wait_until="networkidle")
    assert state(page, british)["regime"] == "uk-statistics"
    assert "object" in page.locator("#consent").inner_text().lower()
    assert cookie_names(page.context) == {"lg_session"}  # nothing is stored on the device for the statistics
    assert any('"uk-statistics"' in row for row in rows(british))
    elsewhere = new_context(extra_http_headers={"cf-ipcountry": "DE"}).new_page()
    elsewhere.goto(british.url + "/articles", wait_until="networkidle")
    assert state(elsewhere, british)["regime"] == "opt-in"


def test_row_23_the_objection_is_a_button_and_needs_no_browser_setting(british: Any, new_context: Any) -> None:
    page = new_context(java_script_enabled=False, extra_http_headers={"cf-ipcountry": "GB"}).new_page()
    page.goto(british.url + "/_consent/")
    page.locator('button[name="choice"][value="object"]').click()
    before = len([row for row in rows(british) if '"uk-statistics"' in row])
    page.goto(british.url + "/members")
    assert len([row for row in rows(british) if '"uk-statistics"' in row]) == before
    page.goto(british.url + "/_consent/")
    assert "objected" in page.locator("main").inner_text()


def test_row_24_french_audience_measurement_keeps_its_limits(run_site: Any, new_context: Any) -> None:
    source = run_site(with_regimes('FR = "fr-audience"'))
    page = new_context(extra_http_headers={"cf-ipcountry": "FR"}).new_page()
    page.goto(source.url + "/events", wait_until="networkidle")
    assert state(page, source)["regime"] == "fr-audience"
    assert any('"fr-audience"' in row for row in rows(source))
    choose(page, "accept")
    (visitor,) = [c for c in page.context.cookies() if c["name"].endswith("visitor")]
    assert visitor["expires"] - page.evaluate("Date.now() / 1000") <= 396 * 86400
    page.goto(source.url + "/members", wait_until="networkidle")
    (later,) = [c for c in page.context.cookies() if c["name"].endswith("visitor")]
    assert (later["value"], later["expires"]) == (visitor["value"], visitor["expires"])
    with pytest.raises(PolicyError, match="25"):
        PrivacyPolicy.parse(source.policy.source.replace("cells_months = 25", "cells_months = 26"))


def test_row_25_gpc_counts_when_it_is_exactly_one(site: Any, new_context: Any) -> None:
    assert new_context().new_page().request.get(site.url + "/.well-known/gpc.json").json()["gpc"] is True
    for value, counts in (("1", True), ("0", False), ("true", False), ("11", False)):
        page = new_context(extra_http_headers={"sec-gpc": value}).new_page()
        page.goto(site.url + "/")
        assert ("gpc" in [signal.lower() for signal in state(page, site)["signals"]]) is counts
    page = new_context(extra_http_headers={"sec-gpc": "1"}).new_page()
    page.goto(site.url + "/")
    choose(page, "accept")
    assert state(page, site)["purposes"]["analytics"] is True  # an explicit yes is not withdrawn by the signal ...
    page.goto(site.url + "/_consent/")
    assert "Global Privacy Control" in page.locator("main").inner_text()  # ... and the conflict is shown


def test_row_26_google_signals_are_denied_before_any_tag(site: Any, page: Any) -> None:
    page.goto(site.url + "/", wait_until="networkidle")
    layer = "JSON.parse(JSON.stringify(window.dataLayer.map(entry => Array.from(entry))))"
    first = page.evaluate(layer)[0]
    assert first[:2] == ["consent", "default"]
    assert all(first[2][signal] == "denied" for signal in SIGNALS)
    scripts = page.evaluate("[...document.scripts].map(script => script.src || script.text)")
    tags = [index for index, script in enumerate(scripts) if site.partner in script]
    assert all(index > next(i for i, s in enumerate(scripts) if "'consent','default'" in s) for index in tags)
    choose(page, "accept")

    def granted() -> bool:
        updates = [entry[2] for entry in page.evaluate(layer) if entry[:2] == ["consent", "update"]]
        return bool(updates) and all(updates[-1].get(signal) == "granted" for signal in SIGNALS)

    eventually(granted)


@pytest.mark.parametrize("part", ["vendor", "recipient"])
def test_row_29_no_recipient_outside_without_a_safeguard(site: Any, part: str) -> None:
    abroad = f'\n[[{part}]]\nname = "Far Away Inc"\ncountry = "IN"\n'
    if part == "vendor":
        abroad += 'purpose = "marketing"\nhosts = ["far.example"]\n'
    with pytest.raises(PolicyError, match="safeguard"):
        PrivacyPolicy.parse(site.policy.source + abroad)
    assert PrivacyPolicy.parse(site.policy.source + abroad + 'safeguard = "scc"\n')
