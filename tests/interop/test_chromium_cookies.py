"""A real Chromium holds exactly the granted cookies at every step of a visit, whatever the site is made with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.interop.servers import serving

pytestmark = pytest.mark.browser
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP counter.example.net 127.0.0.1:9",
]
FRAMEWORKS = ("starlette", "fastapi", "django", "litestar", "quart", "falcon")
SAMPLE = {"starlette", "django"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def held(context: BrowserContext) -> set[str]:
    return {str(cookie.get("name")) for cookie in context.cookies()}


def choose(page: Page, choice: str) -> None:
    """Press a button, and wait until the choice was taken."""
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.locator(f"button[value={choice}]").first.click()
    page.wait_for_load_state()


def visit(page: Page, url: str) -> None:
    """Go to a page, also while the script that just took a choice loads the present one again."""
    try:
        page.goto(url)
    except Error:
        page.wait_for_load_state()
        page.goto(url)


@pytest.mark.parametrize(
    "framework",
    [pytest.param(name, marks=[] if name in SAMPLE else [pytest.mark.audit]) for name in FRAMEWORKS],
)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_the_browser_holds_what_was_granted_and_nothing_else(
    framework: str, scripts: bool, chromium: Browser, tmp_path: Path
) -> None:
    with serving(f"examples.{framework}.app:app", "uvicorn", tmp_path) as port:
        site = f"http://localhost:{port}"
        context = chromium.new_context(java_script_enabled=scripts)
        page = context.new_page()
        wanted: list[str] = []
        page.on("request", lambda request: wanted.append(request.url) if "counter.example.net" in request.url else None)
        visit(page, f"{site}/")
        assert held(context) == {"sid"}

        # A script of the page plants one by itself, for this path and for a parent of it.
        context.add_cookies(
            [{"name": "_ga", "value": "9", "url": site}, {"name": "_ga", "value": "8", "url": f"{site}/seen"}]
        )
        visit(page, f"{site}/")
        assert held(context) == {"sid"}
        assert wanted == []

        choose(page, "accept")
        visit(page, f"{site}/")
        assert held(context) == {"sid", "_ga", "consent", "visitor"}
        assert bool(wanted) is scripts

        wanted.clear()
        visit(page, f"{site}/_consent/")
        choose(page, "reject")
        visit(page, f"{site}/")
        assert held(context) == {"sid", "consent"}
        assert wanted == []
        context.close()
