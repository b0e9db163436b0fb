"""Rows 1 to 14 of docs/compliance.md: what a visitor meets before, at and after the choice; in real Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.helping import OWN_COOKIES, choose, cookie_names, eventually, settle

LAYERS = ("/", "/_consent/")
SEEN_KEYS = "[...Object.keys(localStorage), ...Object.keys(sessionStorage)]"


def buttons(page: Any) -> tuple[Any, Any]:
    """Reject and accept, as the visitor sees them."""
    return tuple(
        page.locator(f'button[name="choice"][value="{choice}"]:visible').first for choice in ("reject", "accept")
    )


def looks(button: Any) -> dict[str, str]:
    return button.evaluate(
        """button => Object.fromEntries(["fontSize", "fontWeight", "fontFamily", "color", "backgroundColor",
        "borderColor", "borderWidth", "borderStyle", "borderRadius", "padding",
        "opacity", "boxShadow", "textDecorationLine", "height"]
        .map(name => [name, getComputedStyle(button)[name]]))"""
    )


def contrast(button: Any) -> float:
    """WCAG 2 contrast of a button's text with what lies behind it."""
    return button.evaluate(
        """button => {
            const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
            const rgba = colour => {
                canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            let behind = button;
            while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
            const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            const light = ([r, g, b]) => [r, g, b].map(linear)
                .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = behind ? rgba(getComputedStyle(behind).backgroundColor) : [255, 255, 255];
            const [a, b] = [light(rgba(getComputedStyle(button).color)), light(ground)];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }"""
    )


def test_row_01_nothing_but_the_necessary_is_stored_before_a_choice(site: Any, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/articles/late-payment", "/about"):
        page.goto(site.url + path, wait_until="networkidle")
    necessary = {cookie.name for cookie in site.policy.cookies if cookie.purpose in site.policy.required_purposes}
    assert cookie_names(page.context) == necessary
    assert page.evaluate(SEEN_KEYS) == []
    assert not [url for url in asked if url.startswith(site.partner)]


def test_row_02_storage_pixels_and_link_decoration_are_covered_too(site: Any, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.url}/about?gclid=Cj0KCQ-click-0123456789&utm_source=news", wait_until="networkidle")
    assert page.evaluate(SEEN_KEYS) == []
    assert not any("pixel.gif" in url or "tag.js" in url for url in asked)
    choose(page, "accept")
    eventually(lambda: any("pixel.gif" in url for url in asked))
    page.goto(f"{site.url}/events?gclid=Cj0KCQ-click-0123456789&utm_source=news", wait_until="networkidle")
    assert "echo_queue" in page.evaluate(SEEN_KEYS)
    spooled = b"".join(path.read_bytes() for path in (site.data_dir / "spool").rglob("*.rows"))
    assert b"utm_source=news" in spooled
    assert b"Cj0KCQ" not in spooled


@pytest.mark.parametrize("layer", LAYERS)
def test_row_03_reject_stands_wherever_accept_stands(site: Any, plain_page: Any, layer: str) -> None:
    plain_page.goto(site.url + layer)
    for form in plain_page.locator("form:visible").all():
        offered = {button.get_attribute("value") for button in form.locator('button[name="choice"]').all()}
        if "accept" in offered:
            assert "reject" in offered
    assert all(button.is_visible() for button in buttons(plain_page))


@pytest.mark.parametrize("layer", LAYERS)
def test_row_04_reject_is_a_button(site: Any, page: Any, layer: str) -> None:
    page.goto(site.url + layer)
    reject, _ = buttons(page)
    assert reject.evaluate("button => button.tagName") == "BUTTON"
    assert page.get_by_role("button", name=reject.inner_text()).first.is_enabled()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_row_05_both_buttons_have_the_same_prominence(
    site: Any, new_context: Any, layer: str, scheme: str, width: int
) -> None:
    page = new_context(color_scheme=scheme, viewport={"width": width, "height": 800}).new_page()
    page.goto(site.url + layer)
    reject, accept = buttons(page)
    assert looks(reject) == looks(accept)
    assert reject.bounding_box()["width"] == pytest.approx(accept.bounding_box()["width"], rel=0.02)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_row_06_both_buttons_can_be_read(site: Any, new_context: Any, layer: str, scheme: str) -> None:
    page = new_context(color_scheme=scheme).new_page()
    page.goto(site.url + layer)
    for button in buttons(page):
        assert contrast(button) >= 4.5


def test_row_07_no_purpose_is_ticked_beforehand(site: Any, page: Any) -> None:
    for layer in LAYERS:
        page.goto(site.url + layer, wait_until="networkidle")
        assert page.locator('input[name="purpose"]:checked:not([disabled])').count() == 0
    page.goto(site.url + "/")
    page.locator('button[value="choose"]:visible').first.click()
    page.locator('input[name="purpose"]:visible').first.wait_for()
    assert page.locator('input[name="purpose"]:checked:not([disabled])').count() == 0


def test_row_08_scrolling_waiting_and_browsing_on_are_no_consent(site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(500)
    page.get_by_role("link", name="Articles", exact=True).first.click()
    page.mouse.wheel(0, 4000)
    page.goto(site.url + "/members", wait_until="networkidle")
    assert page.evaluate("fetch('/_consent/state').then(answer => answer.json())")["decided"] is False
    assert not cookie_names(page.context) & OWN_COOKIES


def test_row_09_escape_and_closing_never_grant(site: Any, page: Any) -> None:
    page.goto(site.url + "/", wait_until="networkidle")
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    page.goto(site.url + "/", wait_until="networkidle")
    close = page.locator(".consent-close:visible")
    if close.count():
        close.first.click()
    page.locator('button[value="choose"]:visible').first.click()
    page.wait_for_timeout(300)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    state = page.evaluate("fetch('/_consent/state').then(answer => answer.json())")
    assert not any(given for purpose, given in state["purposes"].items() if purpose != "necessary")
    assert not cookie_names(page.context) & {"visitor", "lg_stats", "lg_reading"}


@pytest.mark.parametrize("scripts", [True, False])
def test_row_10_the_site_stays_usable_without_a_choice(site: Any, new_context: Any, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts, viewport={"width": 1024, "height": 768}).new_page()
    page.goto(site.url + "/")
    page.get_by_role("link", name="Enquiries").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("E-mail").fill("ada@reader.example")
    page.get_by_label("Message").fill("May I ask something without being asked first?")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Thank you").wait_for()


def test_row_11_each_purpose_can_be_chosen_by_itself(site: Any, new_context: Any) -> None:
    optional = sorted(site.policy.optional_purposes)
    for wanted in optional:
        page = new_context(java_script_enabled=False).new_page()
        page.goto(site.url + "/_consent/")
        page.locator(f'input[name="purpose"][value="{wanted}"]').check()
        choose(page, "save")
        state = page.request.get(site.url + "/_consent/state").json()["purposes"]
        assert {purpose for purpose in optional if state[purpose]} == {wanted}


def test_row_12_third_parties_are_named_with_details_one_step_away(site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    banner = page.locator(".consent-banner")
    assert "Echo Network" in banner.inner_text()
    banner.locator('a[href$="/_consent/cookies"]').click()
    text = page.locator("main").inner_text()
    assert "Echo Network" in text
    assert "echo_*" in text
    assert "1 year" in text  # the file says 12 months


def test_row_13_withdrawing_takes_no_more_clicks_than_giving(site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    choose(page, "accept")  # one click
    page.goto(site.url + "/articles")
    page.locator(".consent-withdraw:visible").click()  # one click
    eventually(lambda: not cookie_names(page.context) & {"lg_stats", "lg_reading", "visitor", "_echo_fp"})
    settle(page)
    state = page.request.get(site.url + "/_consent/state").json()
    assert state["decided"]
    assert not any(given for purpose, given in state["purposes"].items() if purpose != "necessary")


@pytest.mark.parametrize("scripts", [True, False])
def test_row_14_a_permanent_control_shows_the_present_choice(site: Any, new_context: Any, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(site.url + "/_consent/")
    page.locator('input[name="purpose"][value="preferences"]').check()
    choose(page, "save")
    for path in ("/", "/members/greta-lindqvist", "/newsletter"):
        page.goto(site.url + path)
        control = page.locator(".consent-control")
        assert control.is_visible()
        assert "1 of 3" in control.inner_text()
    control.locator('button[value="choose"]').click()
    page.locator('input[name="purpose"]:visible').first.wait_for()
    assert page.locator('input[name="purpose"][value="preferences"]').is_checked()
    assert not page.locator('input[name="purpose"][value="analytics"]').is_checked()
