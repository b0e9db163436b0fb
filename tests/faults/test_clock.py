"""A clock that jumps: nothing is granted by mistake, nothing acknowledged is lost, nothing is kept for ever."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from analytics import jobs
from analytics.ingest.loader import load_pending
from analytics.store import open_store
from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.heads import seal
from consent_middleware.salts import DailySalts
from consent_middleware.spool import Spool
from tests.gate.driving import POLICY, Seeing, call, consent_cookie, request, wrapped
from tests.ingest.rows import POLICY as SPOOLED
from tests.ingest.rows import QUICK, row, spool_rows
from tests.ledger.parts import a_record, fill
from tests.ledger.test_verifying import checked

DAY = 86_400
Clock = Callable[[float], contextlib.AbstractContextManager[None]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of this process, set right or wrong by so many seconds for a while."""
    real, real_ns = time.time, time.time_ns

    @contextlib.contextmanager
    def jumped(seconds: float) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real() + seconds)
            patch.setattr(time, "time_ns", lambda: real_ns() + int(seconds * 1e9))
            yield

    return jumped


@pytest.mark.parametrize("jumps", [(0, -3600, 0), (0, 400 * DAY, 0), (-DAY, DAY, -DAY)])
def test_the_ledger_verifies_whatever_the_clock_did(tmp_path: Path, clock: Clock, jumps: tuple[float, ...]) -> None:
    ledger = open_ledger(tmp_path)
    for jump in jumps:
        with clock(jump):
            asyncio.run(fill(ledger, 3))
            record = a_record(at=round(time.time(), 3))
            asyncio.run(ledger.append(record))
            seal(ledger)
    assert checked(ledger).findings == ()
    assert checked(ledger).entries == 4 * len(jumps)
    ledger.close()


def test_a_consent_from_the_future_grants_nothing_and_stands_once_the_clock_is_right(
    tmp_path: Path, clock: Clock
) -> None:
    site = Seeing()
    app = wrapped(site, tmp_path)
    scope = request((b"cookie", consent_cookie("analytics") + b"; _ga=1"))

    async def granted(expected: bool, jump: float) -> None:
        with clock(jump):
            await call(app, dict(scope))
        assert site.scope["consent"].allows("analytics") is expected
        assert (b"_ga" in b"".join(site.cookies)) is expected

    async def visits() -> None:
        await granted(True, 0)
        await granted(True, -299)  # another host may run a little ahead
        app._reader._verdicts.clear()
        await granted(False, -3600)
        await granted(False, -3600 + 59)
        await granted(True, 0)
        await granted(False, (POLICY.consent.lifetime_days + 1) * DAY)
        await granted(True, (POLICY.consent.lifetime_days - 1) * DAY)
        await app.close()

    asyncio.run(visits())


@pytest.mark.parametrize("jump", [-40 * 365 * DAY, -3600, 3600, 30 * 365 * DAY])
def test_rows_of_a_wrong_clock_are_loaded_once(tmp_path: Path, jump: float) -> None:
    now = int(time.time() * 1000)
    spool_rows(tmp_path, [row(i, time_ms=now + int(jump * 1000)) for i in range(50)])
    spool_rows(tmp_path, [row(i) for i in range(50, 100)])
    with open_store(None, tmp_path) as store:
        assert load_pending(store, tmp_path, SPOOLED).rows == 100
        assert load_pending(store, tmp_path, SPOOLED).rows == 0
        assert store.query("SELECT uniqExact(path) FROM events WHERE path >= '/50' OR length(path) = 3")[0][0] >= 50
        assert store.query("SELECT max(n) FROM (SELECT count() AS n FROM events GROUP BY path)") == [(1,)]


def test_a_row_from_the_future_is_kept_no_longer_than_others(tmp_path: Path) -> None:
    days = SPOOLED.retention.raw_days
    with open_store(None, tmp_path) as store:
        at = jobs.Workplace(store, tmp_path, SPOOLED)
        store.command("ALTER TABLE events REMOVE TTL")
        for path, loaded in (("/old", f"now() - INTERVAL {days + 1} DAY"), ("/new", "now()")):
            store.command(
                f"INSERT INTO events (site, time, kind, path, loaded) "
                f"SELECT 'example.org', now64(3) + INTERVAL 9 YEAR, 'view', '{path}', {loaded}"
            )
        jobs.retain(at)
        assert store.query("SELECT path FROM events") == [("/new",)]
        assert "least(" in store.query("SHOW CREATE TABLE events")[0][0]


def test_a_salt_of_a_day_to_come_does_not_outlive_the_clock_that_made_it(tmp_path: Path) -> None:
    salts, now = DailySalts(tmp_path), time.time()
    today = int(now // DAY)
    for jump in (0, 300 * DAY, DAY, 0):
        salts.key("192.0.2.1", "Firefox", "example.org", now + jump)
    assert sorted(path.name for path in tmp_path.glob("*.salt")) == [f"{today}.salt", f"{today + 1}.salt"]


def test_a_spool_goes_on_when_the_clock_goes_back(tmp_path: Path) -> None:
    moments = iter([dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() - n * DAY for n in range(1000)])
    spool = Spool(tmp_path / "spool", QUICK, now=lambda: next(moments))
    assert all(spool.append(row(number)) for number in range(100))
    asyncio.run(spool.control("erase", 5, "ticket"))
    spool.close()
    [control] = [line for path in (tmp_path / "spool").rglob("*.control") for line in path.read_bytes().splitlines()]
    assert msgspec.json.decode(control)["ticket"] == "ticket"
    with open_store(None, tmp_path) as store:
        assert load_pending(store, tmp_path, SPOOLED).rows == 100
