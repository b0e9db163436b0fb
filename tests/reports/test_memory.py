"""What the service does when a question finds no room: large ones wait, and a refusal says when to come again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from analytics.reports import limits
from analytics.reports.errors import QueryRefused, QueryStopped
from analytics.reports.running import Running, on_behalf_of
from analytics.reports.turns import Turns
from analytics.service import Service
from analytics.store import Store, StoreUnavailable, resident

ENGINE_BYTES = 200_000_000
DAY = ["2026-11-10", "2026-11-10"]
TOTAL = {"site_id": "site.example", "metrics": ["visitors"], "date_range": DAY}
PAGES = {**TOTAL, "dimensions": ["event:page", "visit:entry_page"]}
FILL = """
import sys
from pathlib import Path
from analytics.store import open_store
with open_store(None, Path(sys.argv[1])) as store:
    store.command("ALTER TABLE events REMOVE TTL")
    store.command(
        "INSERT INTO events (site, time, kind, name, path, visitor, basis) SELECT 'site.example', "
        "toDateTime('2026-11-10 00:00:00') + number % 86400, 'view', 'pageview', toString(number), number, 'consent' "
        "FROM numbers(200000)"
    )
"""


class Served:
    """The app of a service, under uvicorn, and one analyst."""

    def __init__(self, data_dir: Path) -> None:
        self.service = Service(data_dir, None, memory=ENGINE_BYTES)
        self.server = uvicorn.Server(uvicorn.Config(self.service.app(), port=0, log_level="error"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.token = self.service.access.create("Ada", "analyst", ("site.example",))

    def ask(self, query: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
        """Status, body, and what `Retry-After` says."""
        headers = {"authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/query", json.dumps(query).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer), ""
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers.get("retry-after", "")

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.service.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("full")
    subprocess.run([sys.executable, "-c", FILL, str(folder)], check=True, timeout=120)
    before = os.environ.get("TMPDIR"), tempfile.gettempdir()
    held = Served(folder)
    yield held
    held.close()
    assert (os.environ.get("TMPDIR"), tempfile.gettempdir()) == before, "what comes next finds no place for its files"


def test_a_question_that_needs_more_memory_than_one_may_take_is_a_503(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(limits.LIMITS, "max_memory_usage", 1_000_000)
    assert served.ask(PAGES)[:2] == (503, {"error": limits.TOO_LARGE})
    monkeypatch.undo()
    assert served.ask(TOTAL)[1]["results"][0]["metrics"] == [199_999]


def test_an_engine_without_room_is_a_503_that_says_when_to_ask_again(served: Served) -> None:
    store = served.service.store
    store.command("CREATE TABLE ballast (x String) ENGINE = Memory")
    try:
        with pytest.raises(StoreUnavailable):
            fill_up(store)
        assert served.ask(PAGES) == (503, {"error": limits.NO_ROOM}, "30")
    finally:
        store.command("DROP TABLE ballast SYNC")
    assert served.ask({**TOTAL, "metrics": ["pageviews"]})[0] == 200


def fill_up(store: Store) -> None:
    """Take what memory is left, in a table of its own. Raises StoreUnavailable at the end."""
    while True:
        store.command("INSERT INTO ballast SELECT repeat('x', 1000) FROM numbers(5000)")


def test_too_many_large_questions_are_a_503_that_says_when_to_ask_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.reports.limits.LARGE_ROWS", 1000)
    turns = served.service.reporting.pool.turns
    monkeypatch.setattr(turns, "seconds", 0.3)
    query = {**TOTAL, "dimensions": ["time:hour"]}
    with turns.take():
        status, body, again = served.ask(query)
        assert (status, again, "waited" in body["error"]) == (503, "30", True)
        assert served.ask({**TOTAL, "date_range": ["2026-11-11", "2026-11-11"]})[0] == 200  # a small one passes by
        monkeypatch.setattr(turns, "waiting", 0)
        status, body, again = served.ask(query)
        assert (status, again, "wait already" in body["error"]) == (503, "30", True)
    assert served.ask(query)[0] == 200


def test_turns_are_taken_in_order_and_given_up_by_whoever_goes() -> None:
    turns, running, served = Turns(), Running(), list[int]()

    def stand(number: int) -> None:
        with turns.take():
            served.append(number)

    def leave() -> None:
        with on_behalf_of(running), pytest.raises(QueryStopped), turns.take():
            pass

    threads = [threading.Thread(target=leave), *(threading.Thread(target=stand, args=(n,)) for n in range(5))]
    with turns.take():
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(turns) <= number:
                time.sleep(0.005)
        running.leave()
        threads[0].join()
        assert served == []
    for thread in threads:
        thread.join()
    assert (served, len(turns)) == ([0, 1, 2, 3, 4], 0)


def test_who_counts_cells_waits_as_long_as_it_takes() -> None:
    turns, through = Turns(seconds=0.05, waiting=0), threading.Event()

    def count() -> None:
        with turns.take(patient=True):
            through.set()

    def give_up() -> None:
        with pytest.raises(QueryRefused), turns.take():
            pass

    thread = threading.Thread(target=count)
    with turns.take():
        give_up()
        thread.start()
        assert not through.wait(0.4)
    thread.join()
    assert through.is_set()


def test_pages_of_the_library_are_given_back_and_read_again(served: Served) -> None:
    assert resident.give_back() > 10_000_000
    assert served.ask(TOTAL)[1]["results"][0]["metrics"] == [199_999]


def test_only_what_was_never_written_is_given_back() -> None:
    def mapping(rights: str, path: str, private: int) -> str:
        return f"7f00-8f00 {rights} 00000000 fe:00 1 {path}\nSize: 4 kB\nRss: 3 kB\nAnonymous: {private} kB\n"

    engine = "/site-packages/chdb/_chdb.abi3.so"
    text = mapping("r-xp", engine, 0) + mapping("r--p", engine, 1) + mapping("rw-p", engine, 0)
    text += mapping("r-xp", "/lib/libc.so.6", 0) + "7f00-8f00 r-xp 00000000 00:00 0 \nRss: 3 kB\nAnonymous: 0 kB\n"
    assert list(resident.unwritten(text)) == [(0x7F00, 0x8F00, 3072)]
