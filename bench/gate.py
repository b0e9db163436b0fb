"""What the gate adds to a request: microseconds of CPU over a bare ASGI application, with its peers in the same run.

Every case is run in turn in many short rounds, so that a busy neighbour disturbs all of them alike; the figure is the
median round less the median round of the bare application.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import itsdangerous
from asgi_csrf import asgi_csrf
from rich.console import Console
from rich.table import Table
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware

from consent_middleware import ConsentMiddleware, PrivacyPolicy
from consent_middleware.decision import Choice
from consent_middleware.token import ConsentTokens

ROUNDS = 60
REQUESTS = 400
KEY = "the key of this benchmark which is long enough"  # no comma: it would be two keys to a server
POLICY = PrivacyPolicy.parse("""
revision = 1
updated = 2026-11-20
[controller]
name = "Benchmark"
[site]
hosts = ["www.example.org"]
insert = false
csp = "off"
[capture]
spool_max_mb = 4096
[[purpose]]
id = "analytics"
[[purpose]]
id = "marketing"
[[cookie]]
name = "sessionid"
purpose = "necessary"
[[cookie]]
name = "csrftoken"
purpose = "necessary"
[[cookie]]
name = "_ga*"
purpose = "analytics"
lifetime = "13 months"
[[cookie]]
name = "_fb*"
purpose = "marketing"
lifetime = "90 days"
""")

WITH_PAGES = PrivacyPolicy.parse(POLICY.source.replace("insert = false", "").replace('csp = "off"', ""))

App = Callable[[Any, Any, Any], Awaitable[None]]
HEADERS = [
    (b"host", b"www.example.org"),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"referer", b"https://www.example.com/a"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"cross-site"),
    (b"connection", b"keep-alive"),
]


async def page(scope: Any, receive: Any, send: Any) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
    )
    await send({"type": "http.response.body", "body": b"<p>hello</p>"})


async def page_with_cookies(scope: Any, receive: Any, send: Any) -> None:
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"private"),
        (b"set-cookie", b"sessionid=abcdefghijklmnop; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (b"set-cookie", b"_fbp=fb.1.1700000000.123; Path=/; Max-Age=7776000"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<p>hello</p>"})


def consent(*purposes: str) -> bytes:
    choice = Choice(frozenset(purposes), secrets.token_urlsafe(16), int(time.time()), POLICY.fingerprint)
    return ConsentTokens([KEY], POLICY).set_cookie(choice, secure=True).partition(b";")[0]


def scopes(cookie: bytes) -> Iterator[dict[str, Any]]:
    """The scope of one page request over https, new each time, as servers make it."""
    while True:
        yield {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/news/2026/a-page",
            "raw_path": b"/news/2026/a-page",
            "query_string": b"utm_source=letter",
            "root_path": "",
            "client": ("192.0.2.7", 50_000),
            "server": ("www.example.org", 443),
            # A server makes new bytes for every request: a cached hash would flatter us.
            "headers": [*HEADERS, (b"cookie", bytes(bytearray(cookie)))],
            "state": {},
        }


SEVEN = b"; sessionid=abcdefghijklmnop; csrftoken=0123456789abcdef; _ga=GA1.1.1234.5678"
VISITOR = b"; __Host-visitor=" + secrets.token_urlsafe(16).encode()
THREE_STRIPPED = consent("analytics") + VISITOR + SEVEN + b"; a=fb.1.17.123; b=fb.1.17.abc; spy=1"
LAPSED = consent("analytics") + VISITOR + SEVEN + b"; _fbp=fb.1.17.123; _fbc=fb.1.17.abc; spy=1"
NONE_STRIPPED = consent("analytics", "marketing") + VISITOR + SEVEN + b"; _ga_AB12=GS1.1.1; _fbp=fb.1.17.123"


def never_seen() -> Iterator[dict[str, Any]]:
    """Every request comes with a consent cookie and an analytics cookie that were never seen."""
    for number in itertools.count():
        cookie = consent("analytics") + VISITOR + SEVEN + b".%d; a=fb.1.17.123; b=f; spy=1" % number
        yield next(scopes(cookie))


def session_cookie() -> bytes:
    value = base64.b64encode(json.dumps({"user": 42}).encode())
    return b"session=" + itsdangerous.TimestampSigner("key").sign(value)


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class Out:
    """The server's side: takes every message, and gives the loop nothing to do."""

    async def __call__(self, message: Any) -> None:
        pass


def cases(folder: Path) -> list[tuple[str, str, App, Iterator[dict[str, Any]]]]:
    def gate(app: App, keys: list[str] | None = None) -> App:
        return ConsentMiddleware(app, POLICY, folder, keys or [KEY])

    class NoOp(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    seven, with_pages = NONE_STRIPPED, ConsentMiddleware(page, WITH_PAGES, folder, [KEY])
    return [
        ("bare application", "", page, scopes(seven)),
        ("the same again (A/A)", "", page, scopes(seven)),
        ("gate and capture, 7 cookies, 3 stripped", "7", gate(page), scopes(THREE_STRIPPED)),
        ("gate and capture, nothing stripped", "5", gate(page), scopes(NONE_STRIPPED)),
        ("the same, with banner and CSP, page known", "", with_pages, scopes(NONE_STRIPPED)),
        ("the same, 2 of them now deleted", "", gate(page), scopes(LAPSED)),
        ("the same, 2 Set-Cookie filtered", "", gate(page_with_cookies), scopes(THREE_STRIPPED)),
        ("gate and capture, never-seen cookie", "14", gate(page), never_seen()),
        ("never-seen cookie under the oldest of 3 keys", "25", gate(page, [KEY, "b" * 40, "c" * 40]), never_seen()),
        ("SessionMiddleware, valid cookie", "", SessionMiddleware(page, "key"), scopes(session_cookie())),
        ("asgi-csrf", "", asgi_csrf(page, signing_secret="key"), scopes(seven)),
        ("BaseHTTPMiddleware that does nothing", "", NoOp(page), scopes(seven)),
    ]


async def measure(folder: Path, rounds: int) -> list[list[float]]:
    """Of each case the microseconds a request took in each round. Raises RuntimeError when capture missed one."""
    contestants = cases(folder)
    times: list[list[float]] = [[] for _ in contestants]
    out = Out()
    for round_ in range(rounds + 3):
        for index, (_, _, app, source) in enumerate(contestants):
            batch = list(itertools.islice(source, REQUESTS))
            before = time.thread_time_ns()
            for scope in batch:
                await app(scope, nothing, out)
            if round_ >= 3:  # the first ones fill caches
                times[index].append((time.thread_time_ns() - before) / REQUESTS / 1000)
    for name, _, app, _ in contestants:
        if isinstance(app, ConsentMiddleware):
            services = app._opening.services
            if services is None or services.spool.appended != (rounds + 3) * REQUESTS:
                raise RuntimeError(f"{name}: not every page view was written")
            await app.close()
    return times


def added(times: list[list[float]]) -> list[tuple[float, float]]:
    """Median and best round of each case, less those of the bare application."""
    bare, best = statistics.median(times[0]), min(times[0])
    return [(statistics.median(measured) - bare, min(measured) - best) for measured in times]


def table(folder: Path) -> Table:
    times = asyncio.run(measure(folder, ROUNDS))
    bare = statistics.median(times[0])
    table = Table(title=f"CPU added to a bare application ({bare:.2f} us), {ROUNDS} rounds of {REQUESTS} requests")
    for column in ("case", "us, median", "us, best round", "goal"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for (name, goal, _, _), (median, best) in list(zip(cases(folder), added(times), strict=True))[1:]:
        table.add_row(name, f"{median:.1f}", f"{best:.1f}", goal)
    return table


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Console().print(table(Path(folder)))


if __name__ == "__main__":
    main()
