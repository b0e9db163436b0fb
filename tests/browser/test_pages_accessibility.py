"""WCAG 2.2 AA by axe-core on every page and in every theme, and what axe can't see: keyboard, zoom, narrow screens."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bench._npm import package
from tests.browser.helping import answer_copies, choose, eventually

AXE_VERSION = "4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = (
    "/",
    "/about",
    "/_consent/",
    "/_consent/policy",
    "/_consent/policy/changes",
    "/_consent/cookies",
    "/_consent/data",
    "/_consent/stored",
    "/_consent/receipt",
)
THEMES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"forced_colors": "active"},
    "phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
}


@pytest.fixture(scope="module")
def axe() -> str:
    folder = package("axe-core", AXE_VERSION)
    if folder is None:
        pytest.skip("axe-core could not be fetched: npm or its registry is missing, accessibility is NOT checked")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def arabic(run_site: Any) -> Any:
    return run_site(lambda text: text.replace('languages = ["en", "cy", "de", "fr", "ar"]', 'languages = ["ar"]'))


def found_by(axe: str, page: Any, within: str | None = None) -> list[str]:
    """What axe reports on the page as it stands, a line each."""
    page.evaluate(axe)
    result = page.evaluate(
        "([within, rules]) => axe.run(within || document, {runOnly: rules, resultTypes: ['violations']})",
        [within, RULES],
    )
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary'][:300]}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def look_at_everything(axe: str, site: Any, page: Any) -> dict[str, list[str]]:
    """Every page before a choice and after it, the dialog, a refused form and a copy of one's own data among them."""
    url = site.url
    found: dict[str, list[str]] = {}
    for path in PAGES:
        page.goto(url + path)
        found[path] = found_by(axe, page, "#consent" if not path.startswith("/_consent") else None)
        if page.locator(".consent-placeholder").count():
            found["placeholder"] = found_by(axe, page, ".consent-placeholder")
    assert "placeholder" in found
    page.goto(url + "/_consent/")
    page.evaluate("document.querySelector('.consent-switch').value = 'nothing-of-ours'")
    page.locator(".consent-switch").first.check()
    page.locator('button[value="save"]').click()
    page.locator("bdi[lang=en]", has_text="no purpose of this site").wait_for()
    found["a form that can't be read"] = found_by(axe, page)
    page.goto(url + "/")
    page.locator("[data-consent-open]:visible").first.click()
    page.locator(".consent-dialog").wait_for()
    found["dialog"] = found_by(axe, page, ".consent-dialog")
    for summary in page.locator(".consent-dialog summary").all():
        summary.click()
    found["dialog, details open"] = found_by(axe, page, ".consent-dialog")
    page.locator(".consent-dialog .consent-close").click()
    choose(page, "accept")
    found["control"] = found_by(axe, page, "#consent")
    for path in ("/_consent/", "/_consent/data", "/_consent/?saved=1"):
        page.goto(url + path)
        found[f"{path} afterwards"] = found_by(axe, page)
    answer_copies(site.data_dir)
    page.goto(url + "/_consent/data")
    page.locator("tbody summary").first.click()
    assert page.locator(".consent-force").count() == 1
    found["my data"] = found_by(axe, page)
    return {place: lines for place, lines in found.items() if lines}


@pytest.mark.parametrize(
    "theme", ["light", "phone", *(pytest.param(name, marks=pytest.mark.audit) for name in ("dark", "forced colours"))]
)
def test_axe_finds_nothing(site: Any, axe: str, new_context: Any, theme: str) -> None:
    page = new_context(accept_downloads=True, **THEMES[theme]).new_page()
    page.set_extra_http_headers({"accept": "text/html"})
    assert look_at_everything(axe, site, page) == {}


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.audit)])
def test_axe_finds_nothing_from_right_to_left(arabic: Any, axe: str, new_context: Any, theme: str) -> None:
    page = new_context(**THEMES[theme]).new_page()
    page.goto(arabic.url + "/")
    assert page.locator("#consent").get_attribute("dir") == "rtl"
    assert look_at_everything(axe, arabic, page) == {}


@pytest.mark.parametrize("placement", ["corner", "centre"])
def test_axe_finds_nothing_in_the_other_placements(run_site: Any, axe: str, new_context: Any, placement: str) -> None:
    placed = run_site(lambda text: text.replace('banner = "bottom"', f'banner = "{placement}"'))
    page = new_context().new_page()
    page.goto(placed.url + "/")
    assert page.locator(f".consent-{placement}").is_visible()
    assert found_by(axe, page, "#consent") == []


def test_axe_notices_a_fault(site: Any, axe: str, page: Any) -> None:
    page.goto(site.url + "/_consent/")
    page.evaluate("document.querySelector('.consent-switch').removeAttribute('id')")
    page.evaluate("document.querySelector('.consent-title').style.color = '#ddd'")
    assert {line.partition(":")[0] for line in found_by(axe, page)} >= {"label", "color-contrast"}


def focused(page: Any) -> str:
    return page.evaluate(  # type: ignore[no-any-return]  # always a string
        "(e => (e.getAttribute('aria-label') || e.innerText || e.name || e.tagName).trim().split('\\n')[0])"
        "(document.activeElement)"
    )


def tab_to(page: Any, name: str, limit: int = 80) -> None:
    for _ in range(limit):
        page.keyboard.press("Tab")
        if focused(page).startswith(name):
            return
    pytest.fail(f"{name} is not reached by Tab")


def state(page: Any, site: Any) -> dict[str, Any]:
    return page.request.get(site.url + "/_consent/state").json()  # type: ignore[no-any-return]  # our own route


def test_a_keyboard_alone_chooses_changes_and_withdraws(site: Any, page: Any) -> None:
    page.goto(site.url + "/articles")
    tab_to(page, "Choose")
    page.keyboard.press("Enter")
    page.locator(".consent-dialog").wait_for()
    assert page.evaluate("document.querySelector('.consent-dialog').contains(document.activeElement)")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "analytics":
            break
    page.keyboard.press("Space")
    tab_to(page, "Save my choices")
    page.keyboard.press("Enter")
    page.locator(".consent-dialog").wait_for(state="detached")
    assert state(page, site)["purposes"] == {
        "necessary": True,
        "preferences": False,
        "analytics": True,
        "marketing": False,
    }
    tab_to(page, "Withdraw all")
    page.keyboard.press("Enter")
    eventually(lambda: not state(page, site)["purposes"]["analytics"])


def test_focus_stays_in_the_dialog_and_comes_back(site: Any, page: Any) -> None:
    page.goto(site.url + "/articles")
    page.locator(".consent-banner [data-consent-open]").focus()
    page.keyboard.press("Enter")
    page.locator(".consent-dialog").wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('.consent-dialog')"
        )
    page.keyboard.press("Escape")
    page.locator(".consent-dialog").wait_for(state="detached")
    assert focused(page) == "Choose"


def test_a_keyboard_alone_reads_and_uses_ones_own_data(site: Any, page: Any) -> None:
    page.goto(site.url + "/_consent/")
    choose(page, "accept")
    page.goto(site.url + "/_consent/data")
    answer_copies(site.data_dir)
    page.goto(site.url + "/_consent/data")
    tab_to(page, "Your visits, newest first")  # a table that scrolls can be scrolled by keys
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("tbody details[open]").count() == 1
    tab_to(page, "Download as JSON")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("The town is wrong.")
    tab_to(page, "Erase")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Your request has arrived: Erase.").wait_for()


@pytest.mark.parametrize("path", ["policy", "cookies", "data"])
def test_a_screen_reader_finds_its_way_by_landmarks_and_headings(site: Any, page: Any, path: str) -> None:
    page.goto(f"{site.url}/_consent/{path}")
    roles = ["banner", "navigation", "main", "contentinfo"]
    tree = page.locator("body").aria_snapshot()
    places = [tree.index(f"- {role}") for role in roles]
    assert places == sorted(places)
    levels = page.evaluate("[...document.querySelectorAll('main :is(h1, h2, h3)')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for table in page.locator("main table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("thead th[scope=col]").count() >= 3


@pytest.mark.parametrize("scripts", [True, False])
def test_a_screen_reader_meets_the_banner_in_a_sensible_order(site: Any, new_context: Any, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(site.url + "/")
    tree = page.locator(".consent-banner").aria_snapshot()
    told = ["You decide about cookies", "Reject all", "Accept all", "Choose"]
    places = [tree.index(name) for name in ["heading", *told[1:]]]
    assert places == sorted(places)
    assert 'region "You decide about cookies"' in page.locator("body").aria_snapshot()
    page.goto(site.url + "/_consent/")
    tree = page.locator("main").aria_snapshot()
    order = ["Privacy choices", "You have not chosen yet.", "Statistics", "Save my choices"]
    assert [tree.index(name) for name in order] == sorted(tree.index(name) for name in order)
    assert 'checkbox "Statistics"' in tree


@pytest.mark.parametrize(
    "path", ["/", "/_consent/", "/_consent/policy", "/_consent/policy/changes", "/_consent/cookies", "/_consent/data"]
)
@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2), (1280, 2)])
def test_narrow_screens_and_large_text_need_no_sideways_scrolling(
    site: Any, new_context: Any, path: str, width: int, zoom: int
) -> None:
    page = new_context(viewport={"width": width // zoom, "height": 640 // zoom}, device_scale_factor=zoom).new_page()
    page.goto(site.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width // zoom
    for button in page.locator('button[name="choice"]:visible').all():
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width // zoom + 0.5
        assert box["height"] >= 24  # WCAG 2.2, 2.5.8


@pytest.mark.parametrize("width", [320, 1280])
def test_ones_own_data_is_cards_on_a_phone_and_a_table_on_a_desk(site: Any, new_context: Any, width: int) -> None:
    page = new_context(viewport={"width": width, "height": 800}).new_page()
    page.goto(site.url + "/_consent/")
    choose(page, "accept")
    page.goto(site.url + "/_consent/data")
    answer_copies(site.data_dir)
    page.goto(site.url + "/_consent/data")
    first = page.locator("tbody tr").first
    boxes = [cell.bounding_box() for cell in first.locator("td:not(.consent-rest)").all() if cell.is_visible()]
    assert len({round(box["y"]) for box in boxes}) == (len(boxes) if width == 320 else 1)
    first.locator("summary").click()
    assert first.locator(".consent-rest").inner_text().split()[-2:] == ["host", "localhost"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rows = page.locator(".consent-rows")
    assert rows.evaluate("region => region.scrollWidth <= region.clientWidth")


@pytest.mark.parametrize("placement", ["bottom", "corner", "centre"])
def test_three_buttons_of_one_size_in_every_placement(run_site: Any, new_context: Any, placement: str) -> None:
    placed = run_site(lambda text: text.replace('banner = "bottom"', f'banner = "{placement}"'))
    for width in (320, 1280):
        page = new_context(viewport={"width": width, "height": 800}).new_page()
        page.goto(placed.url + "/")
        boxes = [button.bounding_box() for button in page.locator(".consent-banner form button").all()]
        assert len(boxes) == 3
        assert len({(round(box["width"]), round(box["height"])) for box in boxes}) == 1


@pytest.mark.parametrize(("control", "position"), [("footer", "static"), ("floating", "fixed"), ("none", None)])
def test_the_control_stands_where_the_site_wants_it(
    run_site: Any, new_context: Any, control: str, position: str | None
) -> None:
    placed = run_site(lambda text: text.replace('control = "floating"', f'control = "{control}"'))
    page = new_context(java_script_enabled=False).new_page()
    page.goto(placed.url + "/_consent/")
    choose(page, "accept")
    for path in ("/", "/articles", "/members/greta-lindqvist"):
        page.goto(placed.url + path)
        found = page.locator(".consent-control")
        assert found.count() == (0 if position is None else 1)
        if position is not None:
            assert found.is_visible()
            assert found.evaluate("control => getComputedStyle(control).position") == position


def test_nothing_moves_for_those_who_asked_for_stillness(site: Any, new_context: Any) -> None:
    page = new_context(reduced_motion="reduce").new_page()
    page.goto(site.url + "/")
    moving = (
        "[...document.querySelectorAll('.consent *')]"
        ".filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    )
    assert page.evaluate(moving) == 0


def test_the_banner_mirrors_from_right_to_left(arabic: Any, site: Any, new_context: Any) -> None:
    places = {}
    for name, at in (("rtl", arabic), ("ltr", site)):
        page = new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(at.url + "/")
        title = page.locator("#consent-title").bounding_box()
        reject = page.locator('.consent-banner [value="reject"]').bounding_box()
        places[name] = title["x"] < reject["x"]
    assert places == {"ltr": True, "rtl": False}
