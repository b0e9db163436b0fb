"""Drives an ASGI application by hand: what servers really send, and everything that comes back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

from consent_middleware import ConsentMiddleware, PrivacyPolicy
from consent_middleware.decision import Choice
from consent_middleware.token import ConsentTokens
from tests.gate.policies import policy

Scope = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]
STARTED = time.time()  # one moment for all: two cookies of one choice are equal
KEYS = ["the only key of these tests"]
POLICY = policy()


def wrapped(app: App, folder: Path, of: PrivacyPolicy = POLICY) -> ConsentMiddleware:
    return ConsentMiddleware(app, of, folder / "var", KEYS)


def consent_cookie(
    *purposes: str, of: PrivacyPolicy = POLICY, at: float | None = None, record: str = "A" * 22
) -> bytes:
    """The `name=value` of somebody who said yes over https."""
    choice = Choice(frozenset(purposes), record, int(at or STARTED), of.fingerprint)
    return ConsentTokens(KEYS, of).set_cookie(choice, secure=True).partition(b";")[0]


def request(*headers: tuple[bytes, bytes], path: str = "/", **more: Any) -> dict[str, Any]:
    """The scope of a GET over https."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": ("192.0.2.7", 50_000),
        "server": ("www.example.org", 443),
        "headers": [(b"host", b"www.example.org"), *headers],
        **more,
    }


def answering(*headers: tuple[bytes, bytes], body: bytes = b"ok", status: int = 200) -> App:
    """A site that always answers the same."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


class Seeing:
    """A site that remembers the scope it was given."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.scope = dict(scope)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    @property
    def cookies(self) -> list[bytes]:
        return [value for name, value in self.scope["headers"] if name.lower() == b"cookie"]


async def call(app: App, scope: Scope, incoming: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Everything that the application sent."""
    sent: list[dict[str, Any]] = []
    queue = list(incoming) or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return queue.pop(0) if queue else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def values(message: dict[str, Any], name: bytes) -> list[bytes]:
    return [value for found, value in message.get("headers", ()) if found.lower() == name]
