"""Servers and senders that die in the middle: afterwards there is exactly one copy, and it is whole."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.anonymise.signing import Signer
from consent_middleware.ledger import open_ledger
from examples.demo.processes import free_port
from tests.share.authority import certificate
from tests.share.sealed_day import policy, send, write_sealed_day

PAGES = 4_000
Run = Callable[..., contextlib.AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture(scope="module")
def large_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sealed_day(tmp_path_factory.mktemp("sealed"), PAGES)


@pytest.fixture
def recipient(large_day: Path, tmp_path: Path) -> tuple[Any, Run, Path]:
    """The policy of a recipient with a server, how to start that server, and where it keeps what it received."""
    authority, chain = certificate(tmp_path, "localhost")
    port, kept = free_port(0), tmp_path / "kept"
    kept.mkdir()
    text = policy(
        large_day, name=f"Recipient {port}", where=f"https://localhost:{port}/in", allow_private=True,
        ca_file=str(authority), format="json",
    )  # fmt: skip

    @contextlib.contextmanager
    def server(*trouble: str) -> Iterator[subprocess.Popen[str]]:
        key = Signer.open(large_day / "keys").public_key
        command = [sys.executable, "-m", "tests.share.receiving", str(kept), str(chain), str(port), key, *trouble]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
            process.kill()

    return text, server, kept


def whole_copies(kept: Path) -> int:
    """How many archives there are; every one of them complete."""
    for path in kept.glob("*.zip"):
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as bundle:
            assert bundle.testzip() is None
            assert len(bundle.read("day-2026-11-19.json")) > 100 * PAGES
    return len(list(kept.iterdir()))


def test_a_server_killed_while_it_reads_gets_the_rest_of_its_life_one_copy(large_day: Path, recipient: Any) -> None:
    text, server, kept = recipient
    with server("stall-after=100000") as process:
        sender = subprocess.Popen(share(large_day, text), stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "stalled\n"
        process.kill()
        told, _ = sender.communicate(timeout=60)
    assert sender.returncode == 1
    assert "waiting" in told
    assert whole_copies(kept) == 0
    with server():
        assert send(large_day, text, force=True).state == "delivered"
    assert whole_copies(kept) == 1


def test_a_server_that_dies_before_it_answers_has_one_copy_in_the_end(large_day: Path, recipient: Any) -> None:
    text, server, kept = recipient
    log: list[Any] = []
    with server("die-before-answer"):
        assert send(large_day, text, log=log).state == "waiting"
    assert whole_copies(kept) == 1
    assert log == []
    with server():
        outcome = send(large_day, text, log=log, force=True)
    assert (outcome.state, outcome.told) == ("delivered", "200 OK")
    assert whole_copies(kept) == len(log) == 1


def test_a_sender_killed_while_it_sends_ends_with_one_copy_and_one_disclosure(large_day: Path, recipient: Any) -> None:
    text, server, kept = recipient
    with server("stall-after=100000") as process:
        sender = subprocess.Popen(share(large_day, text))
        assert process.stdout.readline() == "stalled\n"
        second = subprocess.run(share(large_day, text), capture_output=True, text=True)
        assert second.returncode == 2
        assert "another run" in second.stderr
        sender.kill()
        sender.wait()
    with server():
        done = subprocess.run(share(large_day, text), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert whole_copies(kept) == 1
    ledger = open_ledger(large_day)
    try:
        mine = [entry for entry in ledger.disclosures() if entry["recipient"] == text.recipients[0].name]
    finally:
        ledger.close()
    assert [entry["answer"] for entry in mine] == ["201 Created"]


def share(data_dir: Path, text: Any) -> list[str]:
    """The command that hands the day over."""
    assert os.fspath(text.path)
    return [sys.executable, "-m", "analytics", "share", "--policy", str(text.path), "--data-dir", str(data_dir),
            "--period", "day:2026-11-19", "--recipient", text.recipients[0].name]  # fmt: skip
