"""Visitors of the demo: a real Chromium when there is one, a plain HTTP client otherwise."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx

CHROMIUM_PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# Headless browsers name themselves robots; a demonstration of statistics needs people.
ORDINARY_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
)


class HeldCookie(NamedTuple):
    name: str
    host: str
    days: float | None  # None for a session cookie


class Visitor(Protocol):
    """One person with one browser."""

    def open(self, url: str) -> None: ...
    def choose(self, choice: str) -> None: ...
    def cookies(self) -> list[HeldCookie]: ...
    def storage(self) -> list[str]: ...
    def third_party_requests(self) -> int: ...


class Browser(Protocol):
    """Something that visitors come with."""

    name: str

    def visitor(self) -> contextlib.AbstractContextManager[Visitor]: ...


def find_chromium() -> str | None:
    """The path of a Chromium on this machine, or None."""
    for place in CHROMIUM_PLACES:
        if Path(place).exists():
            return place
    return shutil.which("chromium") or shutil.which("google-chrome")


class ChromiumVisitor:
    def __init__(self, context: Any) -> None:
        self.context = context
        self.page = context.new_page()
        self._asked = 0
        self.page.on("request", self._count)

    def _count(self, request: Any) -> None:
        self._asked += urlsplit(request.url).hostname != urlsplit(self.page.url).hostname and "://" in self.page.url

    def third_party_requests(self) -> int:
        """Requests to other hosts since the last call."""
        asked, self._asked = self._asked, 0
        return asked

    def open(self, url: str) -> None:
        self.page.goto(url, wait_until="networkidle")

    def choose(self, choice: str) -> None:
        """Press the button of the banner, or of the preferences page, that stands for this choice."""
        button = self.page.locator(f'button[name="choice"][value="{choice}"]:visible').first
        with self.page.expect_response(lambda answer: answer.request.method == "POST"):
            button.click()
        # The page loads itself again when its own policy blocked what was just granted.
        self.page.wait_for_timeout(300)
        self.page.wait_for_load_state("networkidle")

    def cookies(self) -> list[HeldCookie]:
        now = self.page.evaluate("Date.now() / 1000")
        return [
            HeldCookie(c["name"], c["domain"], None if c["expires"] < 0 else (c["expires"] - now) / 86400)
            for c in self.context.cookies()
        ]

    def storage(self) -> list[str]:
        return list(self.page.evaluate("Object.keys(localStorage)"))


class ChromiumBrowser:
    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.name = f"Chromium {browser.version.partition('.')[0]}"

    @contextlib.contextmanager
    def visitor(self) -> Iterator[Visitor]:
        agent = ORDINARY_BROWSER.format(version=self.browser.version.partition(".")[0])
        context = self.browser.new_context(user_agent=agent, locale="en-GB", viewport={"width": 1280, "height": 860})
        try:
            yield ChromiumVisitor(context)
        finally:
            context.close()


class HttpVisitor:
    """Keeps cookies and posts the banner's form, but runs no script and loads no third party."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.url = ""

    def open(self, url: str) -> None:
        self.url = url
        self.client.get(url)

    def choose(self, choice: str) -> None:
        origin = str(httpx.URL(self.url).copy_with(path="/", query=None)).rstrip("/")
        self.client.post(
            f"{origin}/_consent/",
            data={"choice": choice, "return": "/"},
            headers={"origin": origin, "referer": self.url},
        )

    def cookies(self) -> list[HeldCookie]:
        return [
            HeldCookie(c.name, c.domain, None if c.expires is None else (c.expires - time.time()) / 86400)
            for c in self.client.cookies.jar
        ]

    def storage(self) -> list[str]:
        return []

    def third_party_requests(self) -> int:
        return 0


class HttpBrowser:
    name = "a plain HTTP client (no Chromium on this machine: no scripts, no third party)"

    @contextlib.contextmanager
    def visitor(self) -> Iterator[Visitor]:
        agent = {
            "user-agent": ORDINARY_BROWSER.format(version="142"),
            "accept": "text/html",
            "accept-language": "en-GB",
        }
        with httpx.Client(follow_redirects=True, headers=agent, timeout=20) as client:
            yield HttpVisitor(client)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium through Playwright where both are there; else the HTTP client, which says so in its name."""
    path = find_chromium()
    with contextlib.ExitStack() as stack:
        browser: Browser = HttpBrowser()
        if path is not None:
            from playwright.sync_api import Error, sync_playwright

            try:
                playwright = stack.enter_context(sync_playwright())
                chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
            except Error as problem:
                HttpBrowser.name = f"a plain HTTP client (Chromium would not start: {str(problem).splitlines()[0]})"
            else:
                stack.callback(chromium.close)
                browser = ChromiumBrowser(chromium)
        yield browser
