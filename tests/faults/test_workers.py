"""Workers that are recycled and killed while they are asked: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from analytics.ingest.loader import load_pending
from analytics.store import open_store
from consent_middleware.ledger import open_ledger
from tests.faults.clients import ask, children, consenting, event, request
from tests.faults.servers import Server, serving
from tests.faults.site import POLICY
from tests.ledger.test_verifying import checked


async def send_while_workers_end(server: Server, events: int, kills: int) -> tuple[set[str], int]:
    """Names of the acknowledged events, and how many requests met no answer."""
    dice = random.Random(events)
    cookie = await consenting(server.port)
    acknowledged: set[str] = set()
    lost = 0
    numbers = iter(range(events))

    async def client() -> None:
        nonlocal lost
        for number in numbers:
            name = f"event-{number}"
            status, _ = await ask(server.port, event(name, cookie))
            if status == 202:
                acknowledged.add(name)
            else:
                lost += 1
                await asyncio.sleep(0.05)
            await ask(server.port, request("GET", f"/{number}", cookie=cookie))

    async def killer() -> None:
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.5, 1.5))
            workers = [pid for pid in children(server.pid) if b"spawn_main" in _command(pid)]
            if workers:
                os.kill(dice.choice(workers), signal.SIGKILL)

    killing = asyncio.ensure_future(killer())
    await asyncio.gather(*(client() for _ in range(8)))
    killing.cancel()
    return acknowledged, lost


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def recycle(folder: Path, events: int, kills: int) -> None:
    with serving(folder, "--workers", "2", "--limit-max-requests", "150") as server:
        acknowledged, lost = asyncio.run(send_while_workers_end(server, events, kills))
    assert len(acknowledged) > events // 2, f"{lost} requests met no answer"
    with open_store(None, folder) as store:
        load_pending(store, folder / "var", POLICY)
        found: Counter[str] = Counter(dict(store.query("SELECT name, count() FROM events GROUP BY name")))
        workers = store.query("SELECT count() FROM events WHERE kind = 'view'")[0][0]
    assert {name for name in acknowledged if found[name] == 0} == set()
    assert {name for name in found if name.startswith("event-") and found[name] > 1} == set()
    assert workers > 0
    ledger = open_ledger(folder / "var")
    assert checked(ledger).findings == ()
    ledger.close()


def test_workers_that_are_recycled_and_killed_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    recycle(tmp_path, 500, 3)


@pytest.mark.audit
@pytest.mark.timeout(1800)
def test_workers_that_are_recycled_and_killed_for_long_lose_and_double_nothing(tmp_path: Path) -> None:
    recycle(tmp_path, 20_000, 60)
