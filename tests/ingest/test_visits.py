"""Visits: 30 minutes of silence end one, whatever the order of arrival, across midnight."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.ingest.loader import load_pending
from analytics.store import Store, open_store
from analytics.visits import VISIT_COLUMNS, visits_sql
from tests.ingest.rows import POLICY, row, spool_rows
from tests.store.sample import keep_for_ever

START = dt.datetime(2026, 11, 20, 23, 50, tzinfo=dt.UTC)
RANGE = {"site": "example.org", "from": dt.datetime(2026, 11, 20), "to": dt.datetime(2026, 11, 23)}
GAP = 1800


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    data_dir = tmp_path_factory.mktemp("visits")
    with open_store(None, data_dir) as store:
        keep_for_ever(store)
        yield store, data_dir


@pytest.fixture
def load(opened: tuple[Store, Path]) -> object:
    store, data_dir = opened
    store.command("TRUNCATE TABLE events")
    store.command("TRUNCATE TABLE restricted")

    def load_rows(*made: tuple[int, float, dict[str, object]]) -> Store:
        """Rows of (visitor, seconds after the start, fields)."""
        begin = int(START.timestamp() * 1000)
        lines = [
            row(number, visitor=visitor, time_ms=begin + int(seconds * 1000), **fields)
            for number, (visitor, seconds, fields) in enumerate(made)
        ]
        spool_rows(data_dir, lines)
        load_pending(store, data_dir, POLICY)
        return store

    return load_rows


def visits(store: Store, columns: str) -> list[tuple[object, ...]]:
    return store.query(f"SELECT {columns} FROM {visits_sql()} ORDER BY visitor, start", RANGE)


def test_a_visit_goes_across_midnight_and_ends_after_thirty_minutes_of_silence(load: object) -> None:
    store = load((1, 0, {"path": "/a"}), (1, 900, {"path": "/b"}), (1, 900 + GAP, {"path": "/c"}), (1, 9000, {}))  # type: ignore[operator]  # a function
    assert visits(store, "pageviews, duration_s, entry_path, exit_path, bounce")[0] == (3, 900 + GAP, "/a", "/c", 0)
    assert visits(store, "pageviews, bounce")[1] == (1, 1)


def test_the_channel_is_the_one_of_entry(load: object) -> None:
    store = load((1, 5, {"referrer": "bing.com"}), (1, 0, {"referrer": "google.com"}))  # type: ignore[operator]  # a function
    assert visits(store, "source, channel") == [("Google", "Organic Search")]


def test_the_last_beacon_ends_the_visit_and_is_no_interaction(load: object) -> None:
    beacon = {"kind": "event", "name": "engagement", "engagement_ms": 9000}
    store = load((1, 0, {}), (1, 60, beacon), (2, 0, {}), (2, 30, {"kind": "event", "name": "signup"}))  # type: ignore[operator]  # a function
    assert visits(store, "visitor, duration_s, events, bounce") == [(1, 60, 0, 1), (2, 30, 1, 0)]


def test_robots_counts_and_restricted_visitors_make_no_visits(load: object) -> None:
    store = load(  # type: ignore[operator]  # a function
        (1, 0, {"user_agent": "Googlebot/2.1"}), (2, 0, {}), (3, 0, {}), (4, 0, {"kind": "count"})
    )
    store.command("INSERT INTO restricted SELECT 3, 'example.org', now64(3)")
    assert visits(store, "visitor") == [(2,)]


def test_every_column_of_the_contract_is_there(load: object) -> None:
    store = load((1, 0, {}))  # type: ignore[operator]  # a function
    names, _ = store.query_columns(f"SELECT * FROM {visits_sql()}", RANGE)
    assert tuple(names) == VISIT_COLUMNS


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20_000)), min_size=1, max_size=40, unique=True),
    st.randoms(use_true_random=False),
)
def test_any_order_of_arrival_gives_the_visits_that_a_plain_loop_gives(
    opened: tuple[Store, Path], made: list[tuple[int, int]], chance: random.Random
) -> None:
    store, data_dir = opened
    store.command("TRUNCATE TABLE events")
    store.command("TRUNCATE TABLE restricted")
    begin = int(START.timestamp() * 1000)
    late = chance.sample(made, len(made))
    for part in (late[: len(late) // 2], late[len(late) // 2 :]):
        spool_rows(data_dir, [row(v * 100_000 + t, visitor=v, time_ms=begin + t * 1000) for v, t in part])
        load_pending(store, data_dir, POLICY)
    expected = []
    for visitor in (1, 2, 3):
        times = sorted(t for v, t in made if v == visitor)
        first = 0
        for place in range(1, len(times) + 1):
            if place == len(times) or times[place] - times[place - 1] > GAP:
                expected.append((visitor, place - first, times[place - 1] - times[first]))
                first = place
    assert visits(store, "visitor, pageviews, duration_s") == expected
