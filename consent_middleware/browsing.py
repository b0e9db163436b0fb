"""Visits a site with Chromium and notes what it stores and whom it contacts. Needs the optional package playwright."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin, urlsplit

from consent_middleware.lazy import UserError
from consent_middleware.once import PARAMETER
from consent_middleware.sighting import SeenCookie, Sighting

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

CHROMIUM_VARIABLE = "CONSENT_CHROMIUM"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
_STORAGE = "() => ({local: Object.keys(localStorage), session: Object.keys(sessionStorage)})"
_LINKS = "() => [...document.querySelectorAll('a[href]')].map(a => a.href)"
PAGE_TIMEOUT_MS = 20_000


def start_url(url: str) -> str:
    """A URL as a user types it, with a scheme. Raises UserError."""
    full = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(full)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{url}: not the address of a web page (http:// or https://)")
    return full


@contextmanager
def browser_context(*, settle_s: float = 1.0) -> Iterator[Visitor]:
    """A visitor with an empty jar. Raises UserError when there is no playwright or no Chromium."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise UserError(
            "visiting a site needs the package playwright and a Chromium: pip install playwright, and either "
            f"`playwright install chromium`, or a chromium on the PATH, or {CHROMIUM_VARIABLE}=/path/to/it"
        ) from None
    program = os.environ.get(CHROMIUM_VARIABLE) or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    arguments = [*_QUIET, "--no-first-run"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start for root otherwise
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"Chromium could not be started ({reason}); set {CHROMIUM_VARIABLE}") from None
        try:
            yield Visitor(browser.new_context(), settle_s)
        finally:
            browser.close()


class Visitor:
    """One browser profile on its way through a site."""

    def __init__(self, context: BrowserContext, settle_s: float) -> None:
        self._context = context
        self._settle_s = settle_s
        self._hosts: set[str] = set()
        self._storage: set[tuple[str, str]] = set()
        # Of every moment: what one page sets, the next may take away.
        self._cookies: dict[tuple[str, str, str], SeenCookie] = {}
        context.on("request", self._note_request)

    def _note_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname:
            self._hosts.add(parts.hostname)

    def look(self, url: str, *, pages: int = 1, prefix: str = "/_consent") -> Sighting:
        """Visit `url` and up to `pages` - 1 more pages that it links to on the same host. Raises UserError.

        Our own pages, under `prefix`, are left out: they store nothing but the choice. So are the links of placeholders
        to their own page.
        """
        from playwright.sync_api import Error

        self._hosts.clear()
        self._storage.clear()
        self._cookies.clear()
        host = urlsplit(url).hostname or ""
        waiting, seen = [url], [url]
        visited: list[str] = []
        page = self._context.new_page()
        try:
            while waiting and len(visited) < pages:
                address = waiting.pop(0)
                try:
                    page.goto(address, timeout=PAGE_TIMEOUT_MS, wait_until="load")
                except Error as error:
                    if not visited:
                        reason = str(error).strip().splitlines()[0].removeprefix("Page.goto: ")
                        raise UserError(f"{address}: can't be visited ({reason})") from None
                    continue
                visited.append(address)
                page.wait_for_timeout(self._settle_s * 1000)
                self._note_storage(page)
                self._note_cookies()
                for link in page.evaluate(_LINKS):
                    link = urldefrag(urljoin(address, str(link))).url
                    parts = urlsplit(link)
                    ours = parts.path.startswith(f"{prefix}/") or f"{PARAMETER}=" in parts.query
                    if parts.hostname == host and link not in seen and not ours:
                        seen.append(link)
                        waiting.append(link)
        finally:
            page.close()
        return Sighting(
            host=host,
            cookies=tuple(sorted(self._cookies.values())),
            storage=tuple(sorted(self._storage)),
            hosts=tuple(sorted(self._hosts)),
            pages=tuple(visited),
        )

    def accept_all(self, url: str, prefix: str) -> str:
        """Say yes to everything through the site's consent page. Why that was not possible; "" when it was."""
        from playwright.sync_api import Error

        address = urljoin(url, f"{prefix}/")
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        try:
            answer = self._context.request.post(
                address, form={"choice": "accept"}, headers={"origin": origin}, max_redirects=0
            )
        except Error:
            return f"{address} did not answer"
        if answer.status == 403:
            return (
                f"{address} answered 403, as if the choice came from another site (behind a proxy the request must "
                "keep its Host with the port)"
            )
        if answer.status >= 500:
            return f"{address} answered {answer.status}: the site can't record choices now, its log says why"
        if answer.status < 400 and any("consent" in str(cookie.get("name")) for cookie in self._context.cookies()):
            return ""
        return "the site has no consent page"

    def _note_storage(self, page: Any) -> None:
        from playwright.sync_api import Error

        try:
            found = page.evaluate(_STORAGE)
        except Error:  # a sandboxed document has no storage
            return
        self._storage.update((area, key) for area in ("local", "session") for key in found[area])

    def _note_cookies(self) -> None:
        now = time.time()
        for cookie in self._context.cookies():
            expires = float(cookie.get("expires", -1))
            seen = SeenCookie(
                name=str(cookie.get("name", "")),
                domain=str(cookie.get("domain", "")).lstrip("."),
                path=str(cookie.get("path", "/")),
                lifetime_s=expires - now if expires > 0 else None,
                http_only=bool(cookie.get("httpOnly")),
            )
            self._cookies.setdefault((seen.name, seen.domain, seen.path), seen)
