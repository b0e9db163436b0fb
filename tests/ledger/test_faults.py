"""Killed workers, full disks, read-only files: no visitor holds a cookie without a record, and the chain verifies."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # a child without rights can't import it later
import json
import os
import pwd
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from consent_middleware.cli.opening import opened_ledger
from consent_middleware.decide import decide
from consent_middleware.keys import canonical, signing_key
from consent_middleware.ledger import Ledger, LedgerUnavailable, open_ledger
from consent_middleware.ledger.database import DatabaseError
from consent_middleware.ledger.heads import seal
from consent_middleware.ledger.ledger import LEDGER_FILE
from consent_middleware.ledger.sqlite import SqliteDatabase
from consent_middleware.ledger.writer import Write
from consent_middleware.services import Services
from tests.ledger.parts import a_record, a_scope, fill, services_in
from tests.ledger.test_verifying import checked

pytestmark = pytest.mark.anyio

WORKERS = 3
ROOT = Path(__file__).parents[2]


def kill_workers_while_they_decide(folder: Path, url: str | None, dice: random.Random) -> list[list[str]]:
    """Start workers, let them decide, kill -9 them all at a random moment; what each had acknowledged.

    Meanwhile an operator looks into the ledger and leaves it again, as every `consent ledger` command does.
    """
    files = [folder / f"acknowledged-{dice.getrandbits(64):x}" for _ in range(WORKERS)]
    command = [sys.executable, "-m", "tests.ledger.deciding_worker", str(folder)]
    workers = [subprocess.Popen([*command, str(file), *([url] if url else [])], cwd=ROOT) for file in files]
    try:
        deadline = time.monotonic() + 60
        while not all(file.exists() and file.stat().st_size for file in files):
            assert time.monotonic() < deadline, "the workers never decided anything"
            assert all(worker.poll() is None for worker in workers), "a worker ended by itself"
            time.sleep(0.01)
        look_in(folder, url)
        time.sleep(dice.uniform(0, 0.5))
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.wait()
    # A line without its newline was not acknowledged.
    return [file.read_bytes().decode().split("\n")[:-1] for file in files]


def look_in(folder: Path, url: str | None) -> None:
    ledger = open_ledger(folder, url)
    assert ledger.reader.query("chains", {})
    ledger.close()


def prove(ledger: Ledger, acknowledged: list[str]) -> None:
    """Every acknowledged decision is in the ledger, as it was acknowledged."""
    records: dict[str, set[tuple[str, float]]] = {}
    for line in acknowledged:
        if line != "refused":
            record_id, event, at = line.split(" ")
            if record_id not in records:
                records[record_id] = {(entry.event, entry.at) for entry in ledger.read_now(record_id)}
            assert (event, float(at)) in records[record_id], f"{line}: a cookie without its record"


async def rounds_of_killing(folder: Path, url: str | None, rounds: int) -> int:
    dice = random.Random(20261123)
    acknowledged: list[str] = []
    for number in range(rounds):
        now = [line for lines in kill_workers_while_they_decide(folder, url, dice) for line in lines]
        acknowledged += now
        ledger = open_ledger(folder, url)
        try:
            report = checked(ledger)
            assert report.findings == ()
            assert report.entries >= len(acknowledged)
            prove(ledger, acknowledged if number == rounds - 1 else now)
            seal(ledger)
        finally:
            ledger.close()
    assert "refused" in acknowledged
    return len(acknowledged)


async def test_killed_workers_leave_no_cookie_without_a_record(tmp_path: Path) -> None:
    # Enough to have been killed in the middle of something; how many it is says how busy the machine is.
    assert await rounds_of_killing(tmp_path, None, 10) > 100


@pytest.mark.postgres
async def test_killed_workers_leave_no_cookie_without_a_record_on_postgresql(tmp_path: Path, postgres: str) -> None:
    assert await rounds_of_killing(tmp_path, postgres, 2) > 10


@pytest.mark.audit
@pytest.mark.timeout(3600)
async def test_200_rounds_of_killing_during_well_over_10_000_decisions(tmp_path: Path) -> None:
    assert await rounds_of_killing(tmp_path, None, 200) > 10_000


def in_a_child(job: Callable[[], Awaitable[object]], user: int | None = None) -> object:
    """What `job` answers in a forked child, which may give up its rights first; a new program could not be started."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.write(writing, json.dumps(asyncio.run(_answer(job))).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read()
    assert os.waitpid(child, 0)[1] == 0, "the child failed: see its traceback"
    return json.loads(answer)


async def _answer(job: Callable[[], Awaitable[object]]) -> object:
    return await job()


async def a_choice(services: Services) -> str:
    """What became of one consent: its record id, or why there is none."""
    try:
        outcome = await decide(
            services,
            a_scope(services),
            granted=frozenset({"analytics"}),
            method="banner",
            language="en",
            shown=b"May we?",
        )
    except LedgerUnavailable as error:
        return f"unavailable: {error}"
    return outcome.choice.record_id or ""


def test_a_full_disk_refuses_decisions_and_lets_them_in_again_when_there_is_room(tmp_path: Path) -> None:
    async def job() -> object:
        async with services_in(tmp_path) as services:
            answers = [await a_choice(services) for _ in range(5)]
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            largest = max(file.stat().st_size for file in (tmp_path / "ledger").glob("*.sqlite3*"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 40_000, hard))
            for _ in range(60):
                answers += await asyncio.gather(*(a_choice(services) for _ in range(3)))
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            return answers, [await a_choice(services) for _ in range(5)]

    answers, after = in_a_child(job)  # type: ignore[misc]  # a pair, by way of JSON
    refused = [answer for answer in answers if answer.startswith("unavailable")]
    assert refused
    assert not any(answer.startswith("unavailable") for answer in after)
    ledger = open_ledger(tmp_path)
    granted = [answer for answer in [*answers, *after] if not answer.startswith("unavailable")]
    assert all(len(ledger.read_now(record_id)) == 1 for record_id in granted)
    assert checked(ledger).findings == ()
    ledger.close()


def test_a_read_only_ledger_refuses_decisions_to_an_unprivileged_worker() -> None:
    with tempfile.TemporaryDirectory(prefix="ledger-ro-", dir="/tmp") as name:
        folder = Path(name)

        async def before() -> object:
            async with services_in(folder) as services:
                signing_key(folder)
                return await a_choice(services)

        record_id = in_a_child(before)
        # What a child without rights will need to import, and can't read any more.
        with opened_ledger(folder / "none.toml", folder) as ledger:
            assert checked(ledger).sound
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        async def read_only() -> object:
            async with services_in(folder) as services:
                return await a_choice(services)

        async def audit() -> object:
            with opened_ledger(folder / "none.toml", folder) as ledger:
                return len(ledger.read_now(str(record_id))), msgspec.to_builtins(checked(ledger))

        nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        answer = str(in_a_child(read_only, nobody))
        # A copy that an auditor may only read is verified all the same, and nothing is written beside it.
        before_audit = sorted(folder.rglob("*"))
        entries, report = in_a_child(audit, nobody)  # type: ignore[misc]  # a pair, by way of JSON
        assert (entries, report["entries"]) == (1, 1)
        assert report["findings"] == []
        assert sorted(folder.rglob("*")) == before_audit
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert answer.startswith("unavailable")
        assert "ermission" in answer or "readonly" in answer or "read-only" in answer
        ledger = open_ledger(folder)
        assert len(ledger.read_now(str(record_id))) == 1
        assert checked(ledger).sound
        ledger.close()


async def test_a_worker_forked_after_its_parent_wrote_is_not_given_the_parents_chain(tmp_path: Path) -> None:
    """Two processes in one chain would break it: the child must not go on with the parent's open ledger."""
    ledger = open_ledger(tmp_path)
    await ledger.append(a_record())

    def child() -> str:
        async def job() -> object:
            try:
                await ledger.append(a_record())
            except LedgerUnavailable as error:
                return str(error)
            return "appended"

        return str(in_a_child(job))

    assert "forked" in await asyncio.to_thread(child)
    await ledger.append(a_record())
    assert checked(ledger).sound
    ledger.close()


async def test_more_decisions_than_the_writer_can_hold_are_refused_at_once(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        services.ledger._writer._limit = 3
        answers = await asyncio.gather(*(a_choice(services) for _ in range(200)))
        refused = [answer for answer in answers if "wait to be written already" in answer]
        assert refused
        kept = [answer for answer in answers if not answer.startswith("unavailable")]
        assert all(len(services.ledger.read_now(record_id)) == 1 for record_id in kept)


async def test_a_write_that_can_not_be_stored_takes_no_neighbour_along(ledger: Ledger) -> None:
    """Two workers make the head of a day at once: the slower one's visitors must not be refused for it."""
    await fill(ledger, 3)
    signed = seal(ledger)
    head = {"number": signed.head.number, "at": signed.head.at, "head": canonical(signed)}
    writer = ledger._writer
    answers = await asyncio.gather(
        *(ledger.append(a_record()) for _ in range(20)),
        writer.write(Write(rows=(("add_head", head),))),
        *(ledger.append(a_record()) for _ in range(20)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(answer) for answer in refused] == [LedgerUnavailable]
    report = checked(ledger)
    assert report.findings == ()
    assert report.entries == 43


async def test_a_commit_whose_answer_was_lost_does_not_fork_the_chain(tmp_path: Path) -> None:
    lost = 0

    class LosesAnswers(SqliteDatabase):
        """A real database behind a line that breaks after the commit."""

        def commit(self) -> None:
            super().commit()
            if lost:
                raise DatabaseError("the answer was lost")

    file = tmp_path / LEDGER_FILE
    ledger = Ledger(tmp_path, lambda: LosesAnswers(file, "sqlite"), open_ledger(tmp_path).connect_keys)
    await ledger.append(a_record())
    lost = 1
    for _ in range(3):
        with pytest.raises(LedgerUnavailable, match="answer was lost"):
            await ledger.append(a_record())
    lost = 0
    stored = await ledger.append(a_record())
    assert stored.sequence == 4
    assert checked(ledger).sound
    ledger.close()


def test_every_commit_is_fsynced(tmp_path: Path) -> None:
    """kill -9 can't show it, since the page cache outlives a process; the database's own answer has to do."""
    ledger = open_ledger(tmp_path)
    for connect in (ledger.connect, ledger.connect_keys):
        database = connect()
        assert isinstance(database, SqliteDatabase)
        for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("secure_delete", 1)):
            assert database._connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
        database.close()
