"""In a real browser: a vendor without consent hears nothing, whichever way a page holds it; with it, everything."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from consent_middleware import ConsentMiddleware
from consent_middleware.inventory import read_inventory
from consent_middleware.policy import PrivacyPolicy
from examples.demo.visitors import CHROMIUM_ARGUMENTS, find_chromium
from tests.html.serving import served

pytestmark = pytest.mark.browser

POLICY = """
revision = 1
updated = 2026-11-20
controller = { name = "Example", contact = "privacy@example.com" }
site = { hosts = ["localhost"], csp = "enforce" }
[[purpose]]
id = "marketing"
title = "Films"
[[vendor]]
name = "Tube & <Co>"
purpose = "marketing"
hosts = ["127.0.0.1"]
country = "DE"
"""
PAGE = """<!doctype html><html><head><title>t</title>
<script src="{v}/script.js"></script><link rel=stylesheet href="{v}/style.css">
<link rel=preload as=image href="{v}/pre">
<link rel=preconnect href="{v}"></head><body><p id=x>text</p>
<img src="{v}/img.gif"><iframe src="{v}/frame" width=300 height=200></iframe><object data="{v}/object"></object>
<embed src="{v}/embed"><video src="{v}/video" poster="{v}/poster"></video><img srcset="{v}/srcset 1x">
<svg><script href="{v}/svg.js"></script><image href="{v}/svgimage" width=5 height=5 /></svg>
<noscript><img src="{v}/noscript.gif"></noscript>
<script {nonce}>
  window.ran = true;
  for (const kind of ["script", "img"]) {{
    const element = document.createElement(kind); element.src = "{v}/dynamic-" + kind; document.body.append(element);
  }}
  fetch("{v}/fetch").catch(() => 0);
  new WebSocket("{v}/socket".replace("http", "ws"));
  const other = document.createElement("img"); other.src = "http://nobody.test/p"; document.body.append(other);
</script></body></html>"""


class Running(NamedTuple):
    url: str
    asked: list[str]
    data_dir: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    asked: list[str] = []
    data_dir = tmp_path_factory.mktemp("data")

    async def vendor(request: Request) -> Response:
        asked.append(request.url.path)
        return PlainTextResponse("", media_type="text/javascript" if request.url.path.endswith(".js") else "text/html")

    with served(Starlette(routes=[Route("/{path:path}", vendor)])) as vendor_port:
        address = f"http://127.0.0.1:{vendor_port}"

        async def page(request: Request) -> Response:
            return HTMLResponse(PAGE.format(v=address, nonce=""))

        async def strict(request: Request) -> Response:
            nonce = secrets.token_urlsafe(9)
            headers = {"content-security-policy": f"script-src 'nonce-{nonce}' 'strict-dynamic'; object-src 'none'"}
            return HTMLResponse(PAGE.format(v=address, nonce=f"nonce={nonce}"), headers=headers)

        site = ConsentMiddleware(
            Starlette(routes=[Route("/", page), Route("/strict", strict)]),
            policy=PrivacyPolicy.parse(POLICY),
            data_dir=data_dir,
            secret_keys=["k" * 40],
        )
        with served(site) as port:
            yield Running(f"http://localhost:{port}", asked, data_dir)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, running: Running) -> Iterator[Callable[..., Any]]:
    contexts: list[Any] = []
    running.asked.clear()

    def open_page(path: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.goto(running.url + path)
        page.wait_for_timeout(400)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("path", ["/", "/strict"])
def test_nothing_is_asked_of_a_vendor_before_a_choice(
    visit: Callable[..., Any], running: Running, path: str, scripts: bool
) -> None:
    page = visit(path, java_script_enabled=scripts)
    assert running.asked == []
    assert page.locator("#x").inner_text() == "text"
    if scripts:
        assert page.evaluate("window.ran") is True, "the site's own inline script is not ours to stop"


def test_everything_is_asked_after_accepting_without_a_reload(visit: Callable[..., Any], running: Running) -> None:
    page = visit("/")
    page.locator(".consent-banner button[value=accept]").click()
    page.wait_for_timeout(1500)
    page.reload()
    page.wait_for_timeout(800)
    expected = {"/script.js", "/style.css", "/img.gif", "/frame", "/object", "/embed", "/video", "/srcset", "/svg.js"}
    expected |= {"/dynamic-script", "/dynamic-img", "/fetch", "/svgimage", "/poster"}
    assert expected <= set(running.asked)


def test_a_site_that_is_strict_stays_strict_after_accepting(visit: Callable[..., Any], running: Running) -> None:
    page = visit("/strict")
    page.locator(".consent-banner button[value=accept]").click()
    page.wait_for_timeout(1500)
    page.goto(running.url + "/strict")
    running.asked.clear()
    page.reload()
    page.wait_for_timeout(800)
    assert "/dynamic-script" in running.asked, "strict-dynamic trusts what a trusted script adds"
    assert "/script.js" not in running.asked, "the site's own policy refuses a script without its nonce"
    assert "/object" not in running.asked


@pytest.mark.parametrize("scripts", [True, False])
def test_a_frame_is_shown_once_by_a_click_and_not_by_a_link_from_elsewhere(
    visit: Callable[..., Any], running: Running, scripts: bool
) -> None:
    page = visit("/", java_script_enabled=scripts)
    link = page.locator(".consent-placeholder a").first
    address = link.get_attribute("href")
    page.goto(running.url + address)
    page.wait_for_timeout(400)
    assert running.asked == [], "an address that somebody was sent"
    page.goto(running.url + "/")
    page.locator(".consent-placeholder a").first.click()
    page.wait_for_timeout(800)
    assert "/frame" in running.asked
    running.asked.clear()
    page.goto(running.url + "/")
    page.wait_for_timeout(400)
    assert running.asked == []


def test_what_the_browser_blocked_arrives_in_the_inventory(visit: Callable[..., Any], running: Running) -> None:
    visit("/")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(seen.kind == "host" and seen.name == "nobody.test" for seen in read_inventory(running.data_dir)):
            return
        time.sleep(0.3)
    pytest.fail(f"not in the inventory: {read_inventory(running.data_dir)}")
