"""What has the focus can be seen: not behind the banner, the dialog's buttons or the control (WCAG 2.4.7, 2.4.11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.helping import choose

pytestmark = pytest.mark.browser

# The name of what has the focus, the share of it that nothing covers, and whether a ring is drawn; null at the end.
LOOK = """() => {
  const on = document.activeElement;
  if (!on || on === document.body) return null;
  const box = on.getBoundingClientRect(), style = getComputedStyle(on);
  const part = (other) => other && (on.contains(other) || other.contains(on));
  const within = (x, y) => x >= 0 && y >= 0 && x < innerWidth && y < innerHeight;
  let seen = 0;
  for (const across of [.03, .5, .97]) for (const down of [.1, .5, .9]) {
    const x = box.x + box.width * across, y = box.y + box.height * down;
    if (within(x, y) && part(document.elementFromPoint(x, y))) seen++;
  }
  const name = (on.ariaLabel || on.innerText || on.name || on.tagName).trim().slice(0, 40);
  return [name, seen / 9, style.outlineStyle !== 'none'];
}"""
CONTROLS = """(within) => [...document.querySelector(within).querySelectorAll(
  'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]')].filter(
  (one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true })).length"""
WINDOWS = [(1280, 800), (360, 640), (320, 256)]  # the last one: 1280 by 1024, four times as large


def walk(page: Any, within: str = "body") -> list[list[Any]]:
    """Tab from the beginning to the end; every control has to be met."""
    there = page.evaluate(CONTROLS, within)
    first = page.evaluate(LOOK)  # a dialog puts the focus on one of its own
    met = [first] if first else []
    for _ in range(there + 5):
        page.keyboard.press("Tab")
        found = page.evaluate(LOOK)
        if found is None:
            break
        met.append(found)
    assert len(met) == there, [name for name, _, _ in met]
    assert [name for name, _, ring in met if not ring] == []
    return met


def hidden(met: list[list[Any]]) -> list[str]:
    return [name for name, seen, _ in met if not seen]


@pytest.mark.parametrize("size", WINDOWS, ids=str)
def test_what_has_the_focus_is_never_behind_the_banner(
    site: Any, new_context: Callable[..., Any], size: tuple[int, int]
) -> None:
    page = new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.goto(site.url + "/")
    page.locator(".consent-banner .consent-close").wait_for()
    assert hidden(walk(page)) == []
    page.locator(".consent-banner [data-consent-open]").focus()
    page.keyboard.press("Enter")
    page.locator(".consent-dialog").wait_for()
    assert hidden(walk(page, ".consent-dialog")) == [], "nor behind the buttons of the dialog"


def test_nor_behind_the_control_that_takes_its_place(site: Any, new_context: Callable[..., Any]) -> None:
    page = new_context(viewport={"width": 360, "height": 640}).new_page()
    page.goto(site.url + "/_consent/")
    choose(page, "reject")
    page.goto(site.url + "/")
    assert hidden(walk(page)) == []


@pytest.mark.parametrize("path", ["", "policy", "cookies", "data"])
def test_each_control_of_our_pages_is_met_once_and_shows_it(
    site: Any, new_context: Callable[..., Any], path: str
) -> None:
    page = new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{site.url}/_consent/{path}")
    assert hidden(walk(page)) == []
