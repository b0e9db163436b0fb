"""Several hosts share the daily salt through PostgreSQL: one wins, nobody makes one alone, and old ones are gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_middleware.ledger.database import DatabaseError
from consent_middleware.ledger.postgres import PostgresDatabase
from consent_middleware.salts import DAY
from consent_middleware.shared_salts import SharedSalts
from tests.ledger.conftest import Cluster
from tests.ledger.conftest import cluster as postgres_cluster

pytestmark = pytest.mark.postgres
cluster = postgres_cluster
WHO = ("81.2.69.142", "Mozilla/5.0", "example.org")
NOON = 20_000 * DAY + DAY / 2


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    return cluster.new_database()


def host(url: str, at: float = NOON) -> SharedSalts:
    salts = SharedSalts(lambda: PostgresDatabase(url, "salts_postgres"))
    salts.refresh(at)
    return salts


def test_hosts_that_race_for_a_day_agree_on_one_salt(url: str) -> None:
    PostgresDatabase(url, "salts_postgres").close()
    for day in range(5):
        at = NOON + day * DAY
        hosts = [SharedSalts(lambda: PostgresDatabase(url, "salts_postgres")) for _ in range(8)]
        barrier = threading.Barrier(len(hosts))

        def start(one: SharedSalts, barrier: threading.Barrier = barrier, at: float = at) -> None:
            barrier.wait()
            one.refresh(at)

        threads = [threading.Thread(target=start, args=(one,)) for one in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        keys = {one.key(*WHO, now=at) for one in hosts}
        assert len(keys) == 1
        assert keys != {0}


def test_a_key_is_another_one_tomorrow_and_ready_before_midnight(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedSalts, "_ask", lambda self: None)  # it would ask for the real day
    one = host(url)
    assert one.key(*WHO, now=NOON + DAY) == 0
    midnight = 20_001 * DAY
    for each in (one, other := host(url, midnight - 60)):
        each.refresh(midnight - 60)
    assert one.key(*WHO, now=midnight + 1) == other.key(*WHO, now=midnight + 1) != one.key(*WHO, now=midnight - 1)
    assert one.key(*WHO, now=midnight + 1) != 0
    assert one.key(*WHO[:2], "other.example", now=midnight + 1) != one.key(*WHO, now=midnight + 1)
    assert one.key("81.2.69.143", *WHO[1:], now=NOON) != one.key(*WHO, now=NOON)


def test_yesterdays_salt_is_gone_from_memory_table_and_files(
    url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedSalts, "_ask", lambda self: None)  # it would ask for the real day
    one = host(url)
    database = PostgresDatabase(url, "salts_postgres")
    [(salt,)] = database.query("salt", {"day": 20_000})
    cluster.stop()
    assert _places(cluster, bytes(salt)), "the search must find it before"
    cluster.start()
    one.refresh(20_001 * DAY + 1)  # a host whose clock is late may still need it
    database = PostgresDatabase(url, "salts_postgres")
    assert database.query("salt", {"day": 20_000})
    one.refresh(20_001 * DAY + 3600)
    assert one.key(*WHO, now=NOON) == 0
    assert database.query("salt", {"day": 20_000}) == []
    database.close()
    cluster.stop()
    assert _places(cluster, bytes(salt)) == []
    cluster.start()


def _places(cluster: Cluster, salt: bytes) -> list[Path]:
    return [path for path in (cluster.folder / "data").rglob("*") if path.is_file() and salt in path.read_bytes()]


def test_without_the_server_there_is_no_key_and_it_comes_back_by_itself(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True

    def connect() -> PostgresDatabase:
        if away:
            raise DatabaseError("PostgreSQL: connection refused")
        return PostgresDatabase(url, "salts_postgres")

    monkeypatch.setattr("consent_middleware.shared_salts.AGAIN", 0.05)
    salts = SharedSalts(connect)
    salts.refresh()
    assert salts.key(*WHO) == 0
    away = False
    deadline = time.monotonic() + 20
    while not salts.key(*WHO) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert salts.key(*WHO) == host(url, time.time()).key(*WHO)
