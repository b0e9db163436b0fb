"""`make screenshots`: pictures of banner, preferences, policy, my data and dashboard into docs/images/.

Site, store and service are those of the demo; everything is started for the pictures and stopped afterwards.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from examples import access_log
from examples.demo.chain import Chain
from examples.demo.processes import ROOT, DemoError, Processes, answers, free_port
from examples.demo.visitors import CHROMIUM_ARGUMENTS, ORDINARY_BROWSER, find_chromium

IMAGES = ROOT / "docs" / "images"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 860}


class Camera:
    """One picture after another, each by a visitor with an empty cookie jar."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def visitor(self, **options: Any) -> Any:
        agent = ORDINARY_BROWSER.format(version=self.browser.version.partition(".")[0])
        context = self.browser.new_context(**{"user_agent": agent, "locale": "en-GB", "viewport": DESKTOP, **options})
        return context.new_page()

    def take(self, page: Any, name: str, *, whole: bool = False) -> None:
        page.wait_for_timeout(400)
        page.screenshot(path=self.folder / f"{name}.png", full_page=whole)
        page.context.close()
        print(f"docs/images/{name}.png", file=sys.stderr)

    def page(self, url: str, name: str, *, whole: bool = False, **options: Any) -> None:
        page = self.visitor(**options)
        page.goto(url, wait_until="networkidle")
        self.take(page, name, whole=whole)


def arabic_site(chain: Chain) -> str:
    """The same site with pages that speak Arabic only; its address."""
    policy = chain.folder / "arabic.toml"
    text = chain.policy_path.read_text(encoding="utf-8")
    policy.write_text(
        text.replace('languages = ["en", "cy", "de", "fr", "ar"]', 'languages = ["ar"]'), encoding="utf-8"
    )
    port = free_port(8003)
    environment = {**chain.environment, "LAW_GROUP_POLICY": str(policy), "CONSENT_DATA_DIR": str(chain.folder / "ar")}
    arguments = ("-m", "uvicorn", "examples.law_group.app:app", "--host", "127.0.0.1", "--port", str(port))
    chain.processes.start("Arabic site", *arguments, environment=environment)
    chain.processes.wait_until("Arabic site", answers(f"http://127.0.0.1:{port}/static/site.css"), "starting")
    return f"http://localhost:{port}"


def take_all(camera: Camera, chain: Chain, arabic: str) -> None:
    """Every picture that the documentation shows."""
    site = chain.site
    ways: dict[str, dict[str, Any]] = {
        "desktop": {},
        "phone": {"viewport": PHONE},
        "dark": {"color_scheme": "dark"},
        "arabic": {"locale": "ar"},
    }
    for way, options in ways.items():
        # The banner speaks the page's own language: for Arabic there is a site that offers no other.
        camera.page((arabic if way == "arabic" else site) + "/", f"banner-{way}", **options)
        camera.page(site + "/_consent/", f"preferences-{way}", whole=True, **options)
        camera.page(site + "/_consent/policy", f"policy-{way}", **options)
        page = camera.visitor(**options)
        page.goto(site + "/")
        page.locator('button[name="choice"][value="accept"]:visible').first.click()
        page.wait_for_timeout(800)
        for path in ("/articles", "/members", "/_consent/data"):
            page.goto(site + path, wait_until="networkidle")
        for _ in range(30):
            page.goto(site + "/_consent/data", wait_until="networkidle")
            if page.locator("table").count():
                break
            page.wait_for_timeout(1000)
        camera.take(page, f"my-data-{way}", whole=True)
    page = camera.visitor()
    page.goto(site + "/about", wait_until="networkidle")
    page.locator(".consent-banner .consent-close").click()  # decides nothing: the banner is put off
    page.locator(".consent-placeholder").first.scroll_into_view_if_needed()
    camera.take(page, "placeholder")
    camera.page(site + "/_consent/cookies", "cookies", whole=True)
    take_dashboard(camera, chain, ways)


def take_dashboard(camera: Camera, chain: Chain, ways: dict[str, dict[str, Any]]) -> None:
    """The dashboard over all that there is, in three ways, and its other pages."""
    pictures = (
        ("dashboard", "desktop", "/?period=all", False),
        ("dashboard-phone", "phone", "/?period=all", False),
        ("dashboard-dark", "dark", "/?period=all", False),
        ("dashboard-panels", "desktop", "/?period=all", True),
        ("dashboard-released", "desktop", "/?lane=released", False),
        ("dashboard-ways", "desktop", "/ways?period=all", False),
        ("dashboard-gate", "desktop", "/gate", True),
    )
    for name, way, path, whole in pictures:
        page = camera.visitor(**ways[way])
        page.goto(f"{chain.dashboard}/login", wait_until="networkidle")
        page.locator('input[name="token"]').fill(chain.token)
        page.locator("main button").click()
        page.wait_for_load_state("networkidle")
        page.goto(chain.dashboard + path, wait_until="networkidle")
        page.wait_for_timeout(1500)
        camera.take(page, name, whole=whole)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make screenshots", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=IMAGES)
    chosen = parser.parse_args()
    path = find_chromium()
    if path is None:
        print("error: pictures need Chromium (on Debian: apt-get install chromium)", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    chosen.folder.mkdir(parents=True, exist_ok=True)
    folder = ROOT / "var" / "screenshots"
    try:
        with Processes(folder / "logs") as processes, sync_playwright() as playwright:
            chain = Chain(processes, folder, Console(stderr=True))
            chain.prepare()
            with chain.log.open("w", encoding="utf-8") as log:
                access_log.write(log, lines=100_000, seed=2026)
            chain.command("analytics import", str(chain.log), "--basis", "consent")
            chain.start_sites()
            chain.start_service()
            browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
            take_all(Camera(browser, chosen.folder), chain, arabic_site(chain))
            browser.close()
    except DemoError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
