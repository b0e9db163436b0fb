"""A disk that is full, slow or read-only: pages are served, what was acknowledged stays, nothing is torn for good."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import pytest

from analytics.ingest.loader import load_pending
from analytics.ingest.segments import read_controls, segments
from analytics.store import open_store
from consent_middleware import spool as spooling
from consent_middleware.ledger.ledger import LEDGER_FILE
from consent_middleware.spool import Spool, SpoolFull
from consent_middleware.spool_values import SpoolLimits
from tests.capture.reading import policy
from tests.capture.test_events_routes import EVENT, accept, site
from tests.faults.conftest import SmallDisk, open_files
from tests.ingest.rows import row
from tests.ledger.test_faults import in_a_child

SLOW = SpoolLimits(sync_seconds=60, segment_seconds=0.01)


def test_a_full_disk_refuses_events_serves_pages_and_takes_up_again(small_disk: SmallDisk, tmp_path: Path) -> None:
    async def visit() -> tuple[int, list[int]]:
        accepted, statuses = 0, []
        async with site(small_disk.folder / "var") as client:
            await accept(client)
            for number in range(30):
                if number == 10:
                    small_disk.fill()
                if number == 20:
                    small_disk.empty()
                if number in (10, 20):
                    await asyncio.sleep(1.2)  # the spool measures its room again every second
                page = await client.get(f"/page-{number}")
                assert page.status_code == 200
                answer = await client.post("/_consent/event", json={**EVENT, "n": f"event-{number}"})
                statuses.append(answer.status_code)
                accepted += answer.status_code == 202
        return accepted, statuses

    accepted, statuses = asyncio.run(visit())
    assert set(statuses[:10]) == {202}
    assert set(statuses[10:20]) == {503}
    assert set(statuses[20:]) == {202}
    with open_store(None, tmp_path) as store:
        load_pending(store, small_disk.folder / "var", policy())
        names = store.query("SELECT name, count() FROM events WHERE name LIKE 'event-%' GROUP BY name")
        assert {name for name, _ in names} >= {f"event-{n}" for n, status in enumerate(statuses) if status == 202}
        assert {count for _, count in names} == {1}
        assert accepted == statuses.count(202)


def test_a_disk_that_stays_full_costs_no_file_handles(small_disk: SmallDisk) -> None:
    spool = Spool(small_disk.folder / "spool", SLOW)
    assert spool.append(row(1))
    spool.sync()
    small_disk.fill()
    before = open_files()
    time.sleep(0.02)  # the segment is due to be closed
    for number in range(50):  # each append finds no open segment, and can't open one
        spool.append(row(number + 2, path="/" + "x" * 3000))
        spool.sync()
    assert open_files() <= before + 2
    assert len(list((small_disk.folder / "spool").rglob("*.rows"))) <= 3
    small_disk.empty()
    spool.sync()
    assert spool.append(row(1000))
    spool.close()


def test_a_request_of_a_visitor_on_a_full_disk_fails_whole_and_the_next_one_arrives(small_disk: SmallDisk) -> None:
    """A half-written control record must not swallow the one that follows it."""
    spool = Spool(small_disk.folder / "spool", SpoolLimits(sync_seconds=60))
    asyncio.run(spool.control("erase", 1, "before"))
    small_disk.fill()
    failed = 0
    for number in range(20):
        try:
            asyncio.run(spool.control("correct", 2, f"during-{number}", "x" * 300))
        except OSError:
            failed += 1
    assert failed
    small_disk.empty()
    asyncio.run(spool.control("erase", 3, "after"))
    spool.close()
    tickets = [
        record.ticket for segment in segments(small_disk.folder / "spool") for record in read_controls(segment, 0)[0]
    ]
    assert tickets[0] == "before"
    assert tickets[-1] == "after"


def test_a_slow_disk_holds_up_what_is_acknowledged_and_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = threading.Event()
    real = os.fdatasync

    def slow(fd: int) -> None:
        assert disk.wait(60)
        real(fd)

    async def visit() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            monkeypatch.setattr(spooling.os, "fdatasync", slow)
            event = asyncio.ensure_future(client.post("/_consent/event", json=EVENT))
            for _ in range(20):
                assert (await client.get("/")).status_code == 200
            assert not event.done()
            disk.set()
            assert (await event).status_code == 202

    asyncio.run(visit())


def test_a_ledger_that_can_not_write_yet_holds_up_the_decision_and_no_page(tmp_path: Path) -> None:
    async def visit() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            blocking = sqlite3.connect(tmp_path / LEDGER_FILE, isolation_level=None)
            blocking.execute("BEGIN IMMEDIATE")
            decision = asyncio.ensure_future(client.post("/_consent/", data={"choice": "reject"}))
            for _ in range(20):
                assert (await client.get("/")).status_code == 200
            assert not decision.done()
            blocking.execute("ROLLBACK")
            blocking.close()
            assert (await decision).status_code == 303

    asyncio.run(visit())


def test_a_data_folder_that_becomes_read_only_refuses_decisions_and_serves_pages() -> None:
    """As an unprivileged worker: root writes everywhere."""
    with tempfile.TemporaryDirectory(prefix="read-only-", dir="/tmp") as name:
        folder = Path(name)
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if nobody:
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)

        async def job() -> object:
            async with site(folder / "var") as client:
                await accept(client)
                everything = [folder / "var", *(folder / "var").rglob("*")]
                for path in everything:
                    path.chmod(0o555 if path.is_dir() else 0o444)
                await client.app.close()  # a new worker, which finds it so
                page = await client.get("/")
                refused = await client.post("/_consent/", data={"choice": "accept"})
                event = await client.post("/_consent/event", json=EVENT)
                answers = [page.status_code, refused.status_code, "set-cookie" in refused.headers, event.status_code]
                for path in everything:
                    path.chmod(0o755 if path.is_dir() else 0o644)
                return answers

        page, refused, cookie, event = in_a_child(job, nobody.pw_uid if nobody else None)  # type: ignore[misc]  # a list, by way of JSON
    assert (page, cookie) == (200, False)
    assert (refused, event) == (503, 503)


def test_a_spool_whose_folder_is_gone_refuses_and_never_raises(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = Spool(tmp_path / "spool")
    assert not spool.append(row(1))
    with pytest.raises(SpoolFull):
        asyncio.run(spool.append_durable(row(2)))
