"""An import beside something else: a store that is still being made ready, a service that answers questions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from analytics.ingest import accesslog
from analytics.ingest.accesslog import SHARED_PIECE_BYTES, ImportSummary, import_log
from analytics.store import Store, StoreUnavailable, open_store
from analytics.store.migrations import migrate
from consent_middleware.lazy import UserError
from tests.ingest.rows import CHROME

LITTLE_MEMORY = 170_000_000  # bytes; the engine itself has a third of it


def log_of(path: Path, lines: int) -> Path:
    with path.open("w") as file:
        for number in range(lines):
            second = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
            request = f'"GET /page/{number % 3000} HTTP/1.1" 200 {number}'
            who = f"81.2.{number % 250}.{number % 7} - - [13/Nov/2026:{second} +0000]"
            file.write(f'{who} {request} "https://www.google.com/" "{CHROME} {number % 500}"\n')
    return path


def run(store: Store, path: Path, **options: Any) -> ImportSummary:
    given = {"site": "example.org", "basis": "imported", "allowed": frozenset[str]()} | options
    return import_log(store, path.parent / "var", path, **given)


def total(store: Store) -> int:
    return int(store.query("SELECT count() FROM events")[0][0])


def test_a_log_enters_a_store_that_is_made_ready_meanwhile(tmp_path: Path) -> None:
    seen = []
    with open_store(None, tmp_path / "var", migrate=False) as store:

        def prepare() -> None:
            time.sleep(0.5)  # the first pieces are parsed by now
            migrate(store)
            time.sleep(0.5)
            seen.append((total(store), [*(tmp_path / "var/imports").glob("*.json")]))

        assert run(store, log_of(tmp_path / "access.log", 900), piece_bytes=40_000, prepare=prepare).lines == 900
        assert seen == [(0, [])], "something was inserted or recorded before the store was ready"
        assert total(store) == 900


def test_what_keeps_a_store_from_being_ready_keeps_a_log_out_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuse() -> None:
        time.sleep(0.5)
        raise UserError("no such site")

    log = log_of(tmp_path / "access.log", 900)
    with open_store(None, tmp_path / "var") as store:
        with pytest.raises(UserError, match="no such site"):
            run(store, log, piece_bytes=40_000, prepare=refuse)
        assert (total(store), [*(tmp_path / "var/imports").glob("*.json")]) == (0, [])
        assert store.query("SELECT name FROM system.tables WHERE name LIKE 'import\\_%'") == []
        assert run(store, log, site="other.example").lines == 900, "the log was taken for one of the refused site"


def test_in_a_service_an_import_needs_little_of_the_engines_memory(tmp_path: Path) -> None:
    """Pieces of the usual size do not fit: the same import fails with them (seen with 40 MB at once)."""
    log = log_of(tmp_path / "access.log", 180_000)
    assert log.stat().st_size > 4 * SHARED_PIECE_BYTES
    with (
        open_store(None, tmp_path / "var", memory=LITTLE_MEMORY) as store,
        open_store(f"chdb://{store.folder}", tmp_path / "var", migrate=False, memory=LITTLE_MEMORY),
    ):
        assert run(store, log).lines == 180_000
        assert total(store) == 180_000


def test_a_piece_waits_for_memory_that_questions_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [StoreUnavailable("memory limit exceeded", 241), None, StoreUnavailable("memory limit exceeded", 241)]
    insert = accesslog._insert

    def sometimes(store: Store, *piece: Any) -> Any:
        found = insert(store, *piece)  # it arrived, and its answer did not
        if refusals and (refusal := refusals.pop()) is not None:
            raise refusal
        return found

    monkeypatch.setattr(accesslog, "_insert", sometimes)
    with open_store(None, tmp_path / "var") as store:
        assert run(store, log_of(tmp_path / "access.log", 900), piece_bytes=40_000).lines == 900
        assert total(store) == 900
    assert not refusals
