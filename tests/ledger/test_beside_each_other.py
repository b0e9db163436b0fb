"""A site at work and an operator at the command line, on the same files at the same time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consent_middleware.decide import decide
from consent_middleware.ledger import LedgerUnavailable, open_ledger
from consent_middleware.ledger.ledger import KEYS_FILE, LEDGER_FILE
from consent_middleware.services import Services
from tests.ledger.parts import a_scope, services_in
from tests.ledger.test_verifying import checked

pytestmark = pytest.mark.anyio


async def a_consent(services: Services) -> str:
    outcome = await decide(
        services, a_scope(services), granted=frozenset({"analytics"}), method="banner", language="en", shown=b"May we?"
    )
    assert outcome.choice.record_id is not None
    return outcome.choice.record_id


async def consent(folder: Path, *arguments: str) -> str:
    """What `consent` prints, run as a program of its own."""
    command = [sys.executable, "-m", "consent_middleware", *arguments, "--data-dir", str(folder)]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_commands_beside_a_site_at_work_take_nothing_away_from_it(tmp_path: Path) -> None:
    """SQLite's locks are the process's, and end when the process closes *any* descriptor of the file. Then a command
    believes that it is the last to leave, and removes the write-ahead log from under the site.
    """
    async with services_in(tmp_path) as services:
        before = await a_consent(services)
        # The keys are read, too: now each file has a writer and a reader in this process.
        assert services.ledger.key_of(before)
        assert "sound: 1 entry " in await consent(tmp_path, "ledger", "verify")
        for file in (LEDGER_FILE, KEYS_FILE):
            assert (tmp_path / f"{file}-wal").exists(), f"{file}: its write-ahead log was removed"
        after = await a_consent(services)
        ledger = open_ledger(tmp_path)
        assert len(ledger.read_now(after)) == 1
        assert ledger.key_of(after)
        ledger.close()


async def test_an_operators_withdrawal_in_another_process_reaches_the_worker(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        record_id = await a_consent(services)
        answer = await consent(tmp_path, "withdraw", "--record", record_id, "--reason", "wrote an e-mail")
        assert "withdrawn (analytics, marketing)" in answer
        deadline = time.monotonic() + 60
        while not services.revocations.revoked(record_id):
            assert time.monotonic() < deadline, "the worker never heard of it"
            await asyncio.sleep(0.1)


async def test_a_file_taken_away_from_under_the_site_is_no_decision(tmp_path: Path) -> None:
    """What goes into a file that nobody else can open was not written, whatever the commit answered."""
    async with services_in(tmp_path) as services:
        kept = await a_consent(services)
        services.ledger.connect().purge()
        (tmp_path / LEDGER_FILE).rename(tmp_path / "taken-away")
        with pytest.raises(LedgerUnavailable, match="taken away or replaced"):
            await a_consent(services)
        (tmp_path / "taken-away").rename(tmp_path / LEDGER_FILE)
        after = await a_consent(services)
        ledger = open_ledger(tmp_path)
        assert [len(ledger.read_now(record_id)) for record_id in (kept, after)] == [1, 1]
        assert checked(ledger).findings == ()
        ledger.close()


async def test_a_log_that_somebody_removed_is_never_written_over_what_others_wrote_since(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        kept = await a_consent(services)
        services.ledger.connect().purge()
        for part in ("wal", "shm"):
            (tmp_path / f"{LEDGER_FILE}-{part}").unlink()
        for why in ("taken away or replaced", "restart the workers"):
            with pytest.raises(LedgerUnavailable, match=why):
                await a_consent(services)
        assert "sound: 1 entry " in await consent(tmp_path, "ledger", "verify")
        assert "head 1 over 1 entry:" in await consent(tmp_path, "ledger", "seal")
    assert "sound: 1 entry in 1 chain, 1 head" in await consent(tmp_path, "ledger", "verify")
    assert "given by banner" in await consent(tmp_path, "record", "--record", kept)
