"""A small site behind the real middleware, and browsers that keep cookies, for the tests of the pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from consent_middleware import ConsentMiddleware, PrivacyPolicy

POLICY = Path(__file__).resolve().parents[2] / "examples" / "law_group" / "privacy.toml"
TEXT = POLICY.read_text(encoding="utf-8").replace('hosts = ["localhost"]', "hosts = []")
KEYS = ["the only key of these tests"]
SAME_SITE = {"sec-fetch-site": "same-origin"}


async def _home(request: Request) -> HTMLResponse:
    return HTMLResponse(
        "<!doctype html><html lang=en><head><title>Home</title></head><body><h1>Home</h1></body></html>"
    )


def law_group(text: str = TEXT) -> PrivacyPolicy:
    return PrivacyPolicy.parse(text)


def browser(folder: Path, text: str = TEXT, **headers: str) -> TestClient:
    """Somebody who visits the site over https; two of them share a folder when they share the argument."""
    app = ConsentMiddleware(
        Starlette(routes=[Route("/{path:path}", _home)]), law_group(text), folder / "var", secret_keys=KEYS
    )
    return TestClient(app, base_url="https://testserver", headers={**SAME_SITE, **headers}, follow_redirects=False)


def post(client: TestClient, choice: str, **fields: Any) -> Any:
    """What the banner's form sends."""
    return client.post("/_consent/", data={"choice": choice, "source": "banner", "return": "/about", **fields})


def state(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/_consent/state").json()
    return found


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words(html: str) -> str:
    """The text of a page, white space folded."""
    parser = _Words()
    parser.feed(html)
    return " ".join(" ".join(parser.found).split())
