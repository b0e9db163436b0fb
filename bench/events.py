"""Acknowledged events a second on one worker: rows that are fsynced when the caller goes on.

The peer is the same append with an fsync of its own for each event, as a careful program without group commit does it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from consent_middleware import ConsentMiddleware
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.spool import Spool

EVENTS = 20_000
AGENT = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
POLICY = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example"
[site]
hosts = ["example.org"]
[[purpose]]
id = "necessary"
required = true
[[purpose]]
id = "analytics"
[capture]
events_per_minute = 100000
"""
ROW = b'["example.org",1800000000000,"event","signup"' + b',"some text of a field"' * 12 + b"]"


async def appended(folder: Path, at_once: int) -> tuple[float, list[float]]:
    spool = Spool(folder / f"spool{at_once}")
    waits: list[float] = []

    async def one() -> None:
        for _ in range(min(EVENTS // at_once, 200)):
            started = time.perf_counter()
            await spool.append_durable(ROW)
            waits.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = time.perf_counter() - started
    spool.close()
    return len(waits) / seconds, waits


async def answered(folder: Path, at_once: int) -> tuple[float, list[float], float]:
    """The whole route: POST through the middleware, parsed, scrubbed, fsynced, 202; without a server's own work."""
    app = ConsentMiddleware(_site, PrivacyPolicy.parse(POLICY), folder / f"data{at_once}", ["k" * 32])
    cookies: list[bytes] = []
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    headers = [(b"host", b"example.org"), (b"user-agent", AGENT), (b"origin", b"http://example.org")]
    await _post(app, "/_consent/", [*headers, *form], b"choice=accept", cookies)
    headers += [(b"cookie", b"; ".join(cookie.partition(b";")[0] for cookie in cookies))]
    body = b'{"n":"signup","u":"https://example.org/join?utm_source=news","p":{"plan":"pro"}}'
    waits: list[float] = []

    async def one(number: int) -> None:
        for _ in range(min(EVENTS // at_once, 100)):
            begun = time.perf_counter()
            status = await _post(app, "/_consent/event", headers, body, [], f"81.2.{number}.7")
            assert status == 202, status
            waits.append(time.perf_counter() - begun)

    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(number) for number in range(at_once)))
    seconds, used = time.perf_counter() - started, time.process_time() - used
    await app._opening.close()
    return len(waits) / seconds, waits, used / len(waits)


async def _site(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def _post(
    app: Any, path: str, headers: list[tuple[bytes, bytes]], body: bytes, cookies: list[bytes], who: str = "81.2.69.1"
) -> int:
    """The status of the answer; its cookies go into `cookies`."""
    found = [0]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}
    scope |= {"client": (who, 5), "server": ("example.org", 80)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found[0] = message["status"]
            cookies.extend(value for name, value in message["headers"] if name == b"set-cookie")

    await app(scope, receive, send)
    return found[0]


def synced_one_by_one(folder: Path, count: int) -> float:
    fd = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.perf_counter()
    for _ in range(count):
        os.write(fd, ROW)
        os.fsync(fd)
    seconds = time.perf_counter() - started
    os.close(fd)
    return count / seconds


def main() -> None:
    table = Table(
        "what", "at once", "acknowledged a second", "median ms", "p99 ms", "CPU us", title="Durable events, one worker"
    )
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk, where /tmp may be memory
        table.add_row("one fsync an event", "1", f"{synced_one_by_one(Path(folder), 1000):,.0f}", "", "", "")
        for at_once in (1, 16, 64, 256):
            rate, waits = asyncio.run(appended(Path(folder), at_once))
            median, last = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
            table.add_row("group commit", str(at_once), f"{rate:,.0f}", f"{median * 1e3:.2f}", f"{last * 1e3:.2f}", "")
        for at_once in (64, 200):
            rate, waits, used = asyncio.run(answered(Path(folder), at_once))
            median, last = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
            times = f"{median * 1e3:.2f}", f"{last * 1e3:.2f}", f"{used * 1e6:.0f}"
            table.add_row("the whole route, to the 202", str(at_once), f"{rate:,.0f}", *times)
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main()
