"""A store with visits that a reader can count by hand, and a service on it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.reports.pool import Pool
from analytics.reports.reporting import Reporting
from analytics.store import Store, open_store
from tests.store.sample import keep_for_ever

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
Row = dict[str, Any]


def row(visitor: int, time: str, path: str = "/", **more: Any) -> Row:
    """One page view, or what `more` makes of it; `time` is UTC, on a day of November 2026."""
    plain = {"site": "site.example", "kind": "view", "name": "pageview", "host": "site.example", "basis": "consent"}
    return {**plain, "visitor": visitor, "time": time, "loaded": time[:19], "path": path, **more}


def insert(store: Store, rows: list[Row]) -> None:
    if rows:
        store.command("INSERT INTO events FORMAT JSONEachRow\n" + "\n".join(json.dumps(row) for row in rows))


def insert_cell(store: Store, loaded: dt.datetime) -> None:
    """A total of another tool, imported at that time."""
    store.command(
        "INSERT INTO imported_cells (site, tool, report, first, last, visitors, loaded) "
        "VALUES ('site.example', 'plausible', 'visitors', '2020-01-01', '2020-01-01', 5, {loaded:DateTime('UTC')})",
        {"loaded": loaded},
    )


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(None, tmp_path_factory.mktemp("store")) as store:
        keep_for_ever(store)
        yield store


@pytest.fixture
def store(shared_store: Store) -> Store:
    for table in ("events", "restricted", "objected", "imported_cells"):
        shared_store.command(f"TRUNCATE TABLE {table}")
    return shared_store


@pytest.fixture
def reporting(store: Store, tmp_path: Path) -> Callable[..., Reporting]:
    def over(rows: list[Row], *, minimum_cell: int = 1, zone: str = "UTC") -> Reporting:
        insert(store, rows)
        return Reporting(Pool(lambda: store, 1), tmp_path, None, minimum_cell=minimum_cell, zone=zone, now=lambda: NOW)

    return over
