"""The retention job: rows live exactly as long as the policy says, longer and shorter than the schema's default."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from analytics import jobs, retention
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from tests.reports.conftest import insert, insert_cell, row

POLICY = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example"
[site]
hosts = ["site.example"]
[retention]
raw_days = {days}
cells_months = {months}
"""


def ages(store: Store) -> list[int]:
    return sorted(int(found[0]) for found in store.query("SELECT dateDiff('day', time, now64(3)) FROM events"))


@pytest.mark.parametrize(("days", "left"), [(60, [1, 50]), (34, [1])])
def test_rows_go_when_the_policy_says_so_and_not_before(
    store: Store, tmp_path: Path, days: int, left: list[int]
) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = [row(age, f"{now - dt.timedelta(days=age):%Y-%m-%d %H:%M:%S}") for age in (1, 50, 70)]
    at = jobs.Workplace(store, tmp_path, PrivacyPolicy.parse(POLICY.format(days=days, months=25)))
    jobs.retain(at)
    insert(store, rows)
    jobs.retain(at)
    store.command("OPTIMIZE TABLE events FINAL")
    assert ages(store) == left


@pytest.mark.parametrize(("months", "left"), [(36, [1, 30]), (12, [1])])
def test_imported_totals_go_when_the_policy_says_so_and_not_before(
    store: Store, tmp_path: Path, months: int, left: list[int]
) -> None:
    now = dt.datetime.now(dt.UTC)
    at = jobs.Workplace(store, tmp_path, PrivacyPolicy.parse(POLICY.format(days=35, months=months)))
    jobs.retain(at)
    for age in (1, 30, 40):
        insert_cell(store, now - dt.timedelta(days=31 * age))
    jobs.retain(at)
    ages = "SELECT dateDiff('day', loaded, now()) FROM imported_cells ORDER BY loaded DESC"
    assert [int(age) // 31 for (age,) in store.query(ages)] == left
    assert f"toIntervalMonth({months})" in store.query("SHOW CREATE TABLE imported_cells")[0][0]
    for days, late in ((0, False), (31 * months, True)):  # the same cells, looked at later
        place = retention.Place(store, tmp_path, at.policy, now + dt.timedelta(days=days))
        found = {clock.what: (clock, held) for clock, held in retention.survey(place)}
        clock, held = found["imported totals of another tool"]
        assert (clock.key, clock.keeps) == ("retention.cells_months", f"{months} months after their import")
        assert isinstance(held, retention.Held)
        assert (held.count, held.overdue) == (len(left), late)
