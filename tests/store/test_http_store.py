"""The same store over real HTTP: outages, lost and half answers, and several loaders double and lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.ingest.loader import load_pending
from analytics.store import Store, StoreUnavailable, open_store
from tests.ingest.rows import POLICY, row, spool_rows

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """The engine behind HTTP, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.store.http_engine", str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/default?timeout=20"

    def faults(self, **faults: float) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/faults", json.dumps(faults).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(request).read()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("engine"))
    yield running
    running.stop()


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Iterator[Store]:
    server.faults()
    with open_store(server.url, tmp_path) as opened:
        opened.command("TRUNCATE TABLE events")
        yield opened


def stored(store: Store) -> Counter[int]:
    return Counter({int(p[1:]): int(n) for p, n in store.query("SELECT path, count() FROM events GROUP BY path")})


def test_rows_arrive_over_http_with_their_meaning(tmp_path: Path, store: Store) -> None:
    spool_rows(tmp_path, [row(i) for i in range(200)])
    assert load_pending(store, tmp_path, POLICY).rows == 200
    assert stored(store) == Counter(range(200))
    assert store.query("SELECT DISTINCT browser, channel FROM events") == [("Chrome", "Direct")]


@pytest.mark.parametrize("fault", ["lose", "half", "refuse"])
def test_an_insert_whose_answer_fails_is_repeated_and_counted_once(
    tmp_path: Path, server: Server, store: Store, fault: str
) -> None:
    server.faults(**{fault: 3})
    spool_rows(tmp_path, [row(i) for i in range(100)])
    for _ in range(6):
        try:
            load_pending(store, tmp_path, POLICY)
            break
        except StoreUnavailable:
            continue
    assert stored(store) == Counter(range(100))
    assert list((tmp_path / "spool").glob("*/*.rows")) == []


def test_a_server_that_goes_away_and_comes_back_loses_nothing(tmp_path: Path, server: Server, store: Store) -> None:
    spool_rows(tmp_path, [row(i) for i in range(50)])
    load_pending(store, tmp_path, POLICY)
    server.stop()
    spool_rows(tmp_path, [row(i) for i in range(50, 100)])
    with pytest.raises(StoreUnavailable):
        load_pending(store, tmp_path, POLICY)
    server.start()
    load_pending(store, tmp_path, POLICY)
    assert stored(store) == Counter(range(100))


def test_two_hosts_load_into_one_server(tmp_path: Path, server: Server, store: Store) -> None:
    for host in (1, 2):
        spool_rows(tmp_path / str(host), [row(host * 1000 + i) for i in range(50)])
    with open_store(server.url, tmp_path) as second:
        load_pending(store, tmp_path / "1", POLICY)
        load_pending(second, tmp_path / "2", POLICY)
    assert stored(store) == Counter([*range(1000, 1050), *range(2000, 2050)])
