"""A question whose reader goes away ends in the engine; one that takes too much is told so; neither leaves a trace."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from analytics.reports import limits
from analytics.reports.access import Access
from analytics.reports.api import Api
from analytics.reports.dashboard import patience
from analytics.reports.errors import QueryStopped, QueryTimeout
from analytics.reports.guard import Guard
from analytics.reports.kept import Kept
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.reports.running import Running, on_behalf_of
from analytics.store import Store, StoreError
from tests.reports.test_service_process import Running as Service

FILL = """
import sys
from pathlib import Path
from analytics.store import open_store
with open_store(None, Path(sys.argv[1])) as store:
    store.command("ALTER TABLE events REMOVE TTL")
    store.command(
        "INSERT INTO events (site, time, kind, name, host, path, visitor, basis, props) SELECT 'site.example', "
        "toDateTime('2026-11-10 00:00:00') + number % 86400, 'view', 'pageview', 'site.example', '/', "
        "1 + number % 999, 'consent', "
        "map('text', concat('word', toString(number), repeat(toString(cityHash64(number)), 8))) "
        "FROM numbers(300000)"
    )
"""
QUERY = {"site_id": "site.example", "metrics": ["visitors"], "date_range": ["2026-11-10", "2026-11-10"]}


def slow(number: int = 0) -> dict[str, Any]:
    """Takes many seconds: hundreds of words are looked for in each row. Another number is another question."""
    words = [[f"{number}w{n}x{m}" for m in range(8)] for n in range(20)]
    return {
        **QUERY,
        "filters": [["contains_not", "event:props:text", each, {"case_sensitive": False}] for each in words],
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("busy")
    subprocess.run([sys.executable, "-c", FILL, str(folder)], check=True, timeout=120)
    running = Service(folder)
    yield running
    running.process.terminate()
    running.process.communicate(timeout=60)


def busy(service: Service) -> float:
    metrics = service.get("/metrics", service.token)[1].decode()
    return float(next(line for line in metrics.splitlines() if line.startswith("analytics_engines_busy")).split()[1])


def begin(service: Service, query: dict[str, Any], id_: str = "") -> socket.socket:
    """Send a query and do not read the answer."""
    address = urlsplit(service.url)
    body = json.dumps(query).encode()
    head = f"POST /api/v2/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\nX-Question: {id_}\r\n"
    client = socket.create_connection((str(address.hostname), int(address.port or 0)))
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_clients_that_go_away_free_the_engines_for_the_next_one(service: Service) -> None:
    clients = [begin(service, slow(n)) for n in range(5)]
    assert until(lambda: busy(service) == 3)  # all there are; two more stand in the queue
    for client in clients:
        client.close()
    assert until(lambda: busy(service) == 0)
    status, answer = service.send("/api/v2/query", QUERY, service.token)
    assert (status, json.loads(answer)["results"][0]["metrics"]) == (200, [999])

    def stopped() -> int:
        log = json.loads(service.get("/api/query-log", service.token)[1])["entries"]
        return sum("nobody waits" in entry.get("error", "") for entry in log)

    assert until(lambda: stopped() == 5)


def test_a_question_can_be_followed_while_it_runs_by_whoever_asked(service: Service) -> None:
    client = begin(service, slow(), "mine")

    def progress() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(service.get("/api/progress/mine", service.token)[1])
        return found

    assert until(lambda: progress().get("total_rows", 0) > 0)
    seen = progress()
    assert 0 <= seen["share"] < 1
    assert seen["read_rows"] <= 300_000
    assert service.get("/api/progress/mine")[0] == 401
    client.close()
    assert until(lambda: service.get("/api/progress/mine", service.token)[0] == 404)
    assert until(lambda: busy(service) == 0)


# As many words as make each page's questions last for seconds: they are looked for in every row.
@pytest.mark.parametrize(("where", "shown", "many"), [("/", "<b>999</b>", 15), ("/ways", 'id="h-before"', 30)])
def test_a_page_comes_before_its_numbers_and_a_later_one_brings_them(
    service: Service, where: str, shown: str, many: int
) -> None:
    words = "&".join("f=contains_not,event:props:text," + "|".join(f"w{n}x{m}" for m in range(many)) for n in range(5))
    path = f"{where}?site=site.example&from=2026-11-10&to=2026-11-10&{words}"

    def page() -> str:
        status, body = service.get(path, service.token)
        assert status == 200
        return body.decode()

    first = page()
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in first
    assert "Still counting" in first
    (followed, *_) = re.findall(r'data-question="(\w+)"', first)
    assert until(lambda: service.get(f"/api/progress/{followed}", service.token)[0] == 404, 60)
    assert service.get(f"/api/progress/{followed}?gone=204", service.token)[0] == 204
    assert until(lambda: "Still counting" not in page(), 90)
    last = page()
    assert "refresh" not in last
    assert shown not in first
    assert shown in last


def test_a_report_shows_a_bar_on_a_terminal_and_none_in_a_file(service: Service, tmp_path: Path) -> None:
    where = ["--data-dir", str(list(service.process.args)[5])]
    words = [word for n in range(9) for word in ("-w", f"event:props:text contains_not {'|'.join('abcdefgh')}{n}")]
    command = [sys.executable, "-m", "analytics", "report", "pages", *where, *words]
    mine, terminal = pty.openpty()
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, cwd=tmp_path, timeout=60)
    bar = os.read(mine, 65536).decode()
    os.close(terminal)
    os.close(mine)
    assert (shown.returncode, "counting" in bar, b"counting" in shown.stdout) == (0, True, False)
    plain = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert (plain.returncode, plain.stderr) == (0, b"")


def test_what_no_page_comes_back_for_is_stopped(many: Reporting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.0)
    access = Access(many.data_dir)
    api = Api(many, Guard(access))
    grant = access.find(access.create("Ada", "analyst", ("site.example",)))
    assert grant is not None
    patient = patience.Patient(api)

    async def over() -> None:
        await asyncio.to_thread(until, lambda: not api.followed_ids)

    async def look() -> tuple[dict[str, Any], list[str]]:
        query = {**QUERY, "dimensions": ["time:minute"]}
        with pytest.raises(patience.StillCounting) as counting:
            await patient.ask(query, grant)
        assert (grant.id, counting.value.progress.id) in api.followed_ids
        await over()
        answer = await patient.ask(query, grant)
        monkeypatch.setattr(patience, "LEASH_SECONDS", 0.2)
        with pytest.raises(patience.StillCounting):
            await patient.ask({**query, "metrics": ["pageviews"], "dimensions": ["event:page", "time:minute"]}, grant)
        await over()
        return answer, [entry.error for entry in api.log.last()]

    answer, errors = asyncio.run(look())
    assert len(answer["results"]) == 1440
    assert errors[-1] == ""
    assert "nobody waits" in errors[0]


@pytest.fixture
def many(store: Store, reporting: Callable[..., Reporting]) -> Reporting:
    held = reporting([])
    store.command(
        "INSERT INTO events (site, time, kind, name, path, visitor, basis) SELECT 'site.example', "
        "toDateTime('2026-11-10 00:00:00') + number % 86400, 'view', 'pageview', toString(number), number, 'consent' "
        "FROM numbers(200000)"
    )
    return held


@pytest.mark.parametrize(
    ("limit", "value", "text"),
    [("max_execution_time", 0.001, limits.TOO_LONG), ("max_memory_usage", 1_000_000, limits.TOO_LARGE)],
)
def test_time_and_memory_are_limited_and_the_refusal_says_which(
    many: Reporting, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, text: str
) -> None:
    query = parse_object({**QUERY, "dimensions": ["event:page", "visit:entry_page"]})
    monkeypatch.setitem(limits.LIMITS, limit, value)
    with pytest.raises(QueryTimeout) as refused:
        many.ask(query)
    assert str(refused.value) == text
    monkeypatch.undo()
    assert many.ask(parse_object(QUERY))["results"][0]["metrics"] == [199_999]


def test_what_a_statement_gave_before_it_failed_is_in_no_later_answer(store: Store) -> None:
    failing = "SELECT throwIf(number = 3, 'stop') FROM numbers(9) SETTINGS max_block_size = 1"
    for sql in (failing, "SELECT number FROM numbers(3000000) WHERE NOT throwIf(number = 2500000)"):
        with pytest.raises(StoreError):
            store.query(sql)
        assert store.query("SELECT 7") == [(7,)]


def test_who_waits_for_the_same_answer_takes_over_when_the_first_one_goes() -> None:
    kept, first, entered = Kept(), Running(), threading.Event()
    outcomes: list[Any] = []

    def stopped() -> dict[str, Any]:
        entered.set()
        until(lambda: first.stopped)
        raise QueryStopped("gone")

    def one() -> None:
        with on_behalf_of(first), pytest.raises(QueryStopped):
            kept.get("key", stopped)

    def two() -> None:
        with on_behalf_of(Running()):
            outcomes.append(kept.get("key", lambda: {"results": [2]}))

    threads = [threading.Thread(target=one), threading.Thread(target=two)]
    threads[0].start()
    entered.wait(10)
    threads[1].start()
    first.stop()
    for thread in threads:
        thread.join(10)
    assert outcomes == [{"results": [2]}]


def test_a_stop_reaches_a_statement_that_is_on_its_way_to_the_engine() -> None:
    running = Running()
    killed: list[str] = []
    inside = threading.Event()

    def work() -> None:
        with running.statement(killed.append):
            inside.set()
            until(lambda: len(killed) >= 3)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    running.stop()
    thread.join(10)
    assert set(killed) == {running.id}
    with pytest.raises(QueryStopped), running.statement(killed.append):
        pass
