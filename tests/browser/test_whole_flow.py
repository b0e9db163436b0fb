"""The whole visit from the first page to the withdrawal, and proof that these tests notice a gate that is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.helping import choose, cookie_names, eventually

NECESSARY = {"lg_session"}


def row_01() -> Callable[..., None]:
    """The test of row 1, to be run against sites that have lost their gate."""
    spec = importlib.util.spec_from_file_location("banner_rows", Path(__file__).with_name("test_compliance_banner.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., None] = module.test_row_01_nothing_but_the_necessary_is_stored_before_a_choice
    return found


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_visit_from_the_first_page_to_the_withdrawal(site: Any, new_context: Any, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(site.url + "/about")
    assert cookie_names(page.context) == NECESSARY

    choose(page, "reject")
    page.goto(site.url + "/members")
    assert cookie_names(page.context) == NECESSARY | {"consent"}
    assert page.locator(".consent-banner:visible").count() == 0

    page.goto(site.url + "/_consent/")
    choose(page, "accept")
    page.goto(site.url + "/about")
    own = {cookie["name"] for cookie in page.context.cookies() if cookie["domain"] == "localhost"}
    assert own >= NECESSARY | {"consent", "visitor", "lg_reading", "lg_stats"}
    assert "promo_ref" not in own  # nobody declared it
    eventually(lambda: "echo_map" in cookie_names(page.context))  # the map is open now

    for path in ("policy", "cookies", "data"):
        page.goto(f"{site.url}/_consent/{path}")
        assert page.locator("main h1, h1").first.is_visible()
    page.get_by_role("textbox", name="Say what is wrong").fill("My town is Harwick.")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("status").filter(has_text="Your request has arrived: Correct.").wait_for()

    page.goto(site.url + "/articles")
    page.locator(".consent-withdraw:visible").click()
    page.get_by_role("status").filter(has_text="The visits recorded with your consent are being erased.").wait_for()
    page.wait_for_load_state("networkidle")
    page.goto(site.url + "/events")
    eventually(
        lambda: {c["name"] for c in page.context.cookies() if c["domain"] == "localhost"} == NECESSARY | {"consent"}
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url + "/about", wait_until="networkidle")
    assert not [url for url in asked if url.startswith(site.partner)]


def test_the_site_without_its_middleware_fails_row_1(run_site: Any, new_context: Any) -> None:
    bare = run_site(module="examples.law_group.app:site")
    with pytest.raises(AssertionError):
        row_01()(bare, new_context().new_page())


def test_the_gate_without_its_one_call_fails_row_1(run_site: Any, new_context: Any) -> None:
    ungated = run_site(module="tests.browser.ungated_app:app")
    page = new_context().new_page()
    with pytest.raises(AssertionError):
        row_01()(ungated, page)
    assert {"lg_reading", "lg_stats", "promo_ref"} <= cookie_names(page.context)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("way", ["once", "always"])
def test_the_map_stays_closed_until_it_is_opened(site: Any, new_context: Any, way: str, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url + "/about", wait_until="networkidle")
    placeholder = page.locator(".consent-placeholder").first
    assert "Echo Network" in placeholder.inner_text()
    assert not [url for url in asked if url.startswith(site.partner)]
    placeholder.locator("a.consent-button" if way == "once" else 'button[value="add"]').click()
    page.wait_for_load_state("networkidle")
    eventually(lambda: page.locator("iframe.map").count() and any(url.endswith("/map") for url in asked))
    assert page.request.get(site.url + "/_consent/state").json()["purposes"]["marketing"] is (way == "always")


def test_shown_once_the_page_is_where_it_was_and_the_next_visit_is_closed_again(site: Any, new_context: Any) -> None:
    page = new_context(viewport={"width": 900, "height": 400}).new_page()
    page.goto(site.url + "/")
    page.goto(site.url + "/about?from=letter#where", wait_until="networkidle")
    page.locator(".consent-banner .consent-close").click()
    page.locator(".consent-placeholder a.consent-button").focus()
    page.evaluate("scrollTo(0, 250)")
    at = page.evaluate("scrollY")
    assert at > 100
    page.keyboard.press("Enter")
    page.locator("iframe.map").wait_for()
    eventually(lambda: abs(page.evaluate("scrollY") - at) < 3)
    assert page.evaluate("document.activeElement.className") == "map"
    assert page.locator(".consent-status").inner_text() == ""  # nothing was chosen, so nothing was saved
    assert page.url == site.url + "/about?from=letter#where"
    assert not page.request.get(site.url + "/_consent/state").json()["decided"]
    page.go_back()
    page.go_forward()
    page.reload()
    page.locator(".consent-placeholder").wait_for()
    assert page.locator("iframe.map").count() == 0
