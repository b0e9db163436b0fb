"""Nothing acknowledged is lost or doubled, whoever dies at whatever moment."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from analytics.ingest import loader
from analytics.ingest.loader import load_pending
from analytics.ingest.progress import Progress
from analytics.store import Store, StoreUnavailable, open_store
from tests.ingest.rows import POLICY, POLICY_TEXT, row, spool_rows

ROOT = Path(__file__).resolve().parents[2]


def stored(store: Store) -> Counter[int]:
    return Counter(
        {int(path[1:]): int(count) for path, count in store.query("SELECT path, count() FROM events GROUP BY path")}
    )


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"tests.ingest.{program}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def start_service(data_dir: Path) -> subprocess.Popen[bytes]:
    policy = data_dir / "privacy.toml"
    policy.write_text(POLICY_TEXT)
    command = [sys.executable, "-m", "analytics", "serve", "--policy", policy, "--data-dir", data_dir, "--port", "0"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def kill_at_random_moments(data_dir: Path, kills: int, seed: int) -> None:
    """One of three kills hits a worker, the others a loader, which is the whole service each eighth time; then
    everything that was acknowledged is counted."""
    chance = random.Random(seed)
    acknowledged: set[int] = set()
    first = 0
    worker = start("worker_process", data_dir, first)
    running = start("loader_process", data_dir)
    killed = 0
    while killed < kills:
        if killed % 3 == 2:
            time.sleep(chance.uniform(0.05, 0.5))
            worker.kill()
            said = worker.communicate()[0]
            # a number without its newline was cut by the kill while it was being said
            acknowledged |= {int(line) for line in said[: said.rfind(b"\n") + 1].split()}
            first += 1_000_000
            worker = start("worker_process", data_dir, first)
        else:
            assert running.stdout is not None
            running.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.4))
            running.kill()
            running.wait()
            running = start_service(data_dir) if killed % 8 == 1 else start("loader_process", data_dir)
        killed += 1
    worker.kill()
    said = worker.communicate()[0]
    acknowledged |= {int(line) for line in said[: said.rfind(b"\n") + 1].split()}
    running.kill()
    running.wait()
    with open_store(None, data_dir) as store:
        load_pending(store, data_dir, POLICY)
        found = stored(store)
    assert len(acknowledged) > 100
    assert {number for number in acknowledged if found[number] == 0} == set()
    assert {number: count for number, count in found.items() if count > 1} == {}
    assert list((data_dir / "spool").glob("*/*.rows")) == []


@pytest.mark.timeout(240)
def test_thirty_kills_of_workers_and_loaders_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, 30, seed=6)


@pytest.mark.audit
@pytest.mark.timeout(7200)
def test_a_thousand_kills_of_workers_and_loaders_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, 1000, seed=1000)


class Interrupted(Exception):
    """Stands for the end of the process at this very step."""


class DyingStore:
    """The real store, which dies before or after its nth statement, or the first one that says `step`: every step
    between two statements is a crash."""

    def __init__(self, store: Store, step: int | str, *, after: bool) -> None:
        self._store = store
        self._left, self._text = (step, "") if isinstance(step, int) else (1, step)
        self._after = after

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name not in ("command", "query", "load", "make"):
            return found

        def statement(*arguments: object, **keywords: object) -> object:
            self._left -= self._text in str(arguments[0])
            dies = self._left == 0 and self._text in str(arguments[0])
            if dies and not self._after:
                raise Interrupted
            result = found(*arguments, **keywords)
            if dies:
                raise Interrupted
            return result

        return statement


def test_a_crash_before_or_after_any_statement_is_made_good_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 100)
    with open_store(None, tmp_path) as store:
        number = 0
        for after in (False, True):
            for step in range(1, 24):
                spool_rows(tmp_path, [row(number + i) for i in range(150)])
                number += 150
                with pytest.raises(Interrupted):
                    load_pending(DyingStore(store, step, after=after), tmp_path, POLICY)  # type: ignore[arg-type]  # a proxy
        load_pending(store, tmp_path, POLICY)
        assert stored(store) == Counter(range(number))


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_crash_around_any_record_of_progress_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    for after in (False, True):
        data_dir = tmp_path / str(after)
        spool_rows(data_dir, [row(i) for i in range(150)])
        with open_store(None, data_dir) as store:
            with monkeypatch.context() as patch:
                real, left = Progress.write, [write]

                def dying(self: Progress, spool: Path, real=real, left=left, after=after) -> None:  # type: ignore[no-untyped-def]  # bound early
                    left[0] -= 1
                    if left[0] == 0 and not after:
                        raise Interrupted
                    real(self, spool)
                    if left[0] == 0:
                        raise Interrupted

                patch.setattr(Progress, "write", dying)
                with pytest.raises(Interrupted):
                    load_pending(store, data_dir, POLICY)
            load_pending(store, data_dir, POLICY)
            assert stored(store) == Counter(range(150))


def test_rows_of_many_days_in_one_batch_are_loaded_once_when_the_batch_is_repeated(tmp_path: Path) -> None:
    day = 86_400_000
    now = int(time.time() * 1000)
    spool_rows(tmp_path, [row(i, time_ms=now - (i % 20) * day) for i in range(2000)])
    with open_store(None, tmp_path) as store:
        with pytest.raises(Interrupted):
            load_pending(DyingStore(store, "INSERT INTO events", after=True), tmp_path, POLICY)  # type: ignore[arg-type]  # a proxy
        for _ in range(2):
            load_pending(store, tmp_path, POLICY)
        assert stored(store) == Counter(range(2000))


def test_a_store_that_is_away_loses_nothing(tmp_path: Path) -> None:
    spool_rows(tmp_path, [row(i) for i in range(100)])
    with pytest.raises(StoreUnavailable):
        open_store("http://127.0.0.1:9/default", tmp_path)
    with open_store(None, tmp_path) as store:
        assert load_pending(store, tmp_path, POLICY).rows == 100
