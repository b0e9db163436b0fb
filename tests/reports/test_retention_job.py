"""The retention job: rows live exactly as long as the policy says, longer and shorter than the schema's default."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from analytics import jobs
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from tests.reports.conftest import insert, row

POLICY = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example"
[site]
hosts = ["site.example"]
[retention]
raw_days = {days}
"""


def ages(store: Store) -> list[int]:
    return sorted(int(found[0]) for found in store.query("SELECT dateDiff('day', time, now64(3)) FROM events"))


@pytest.mark.parametrize(("days", "left"), [(60, [1, 50]), (34, [1])])
def test_rows_go_when_the_policy_says_so_and_not_before(
    store: Store, tmp_path: Path, days: int, left: list[int]
) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = [row(age, f"{now - dt.timedelta(days=age):%Y-%m-%d %H:%M:%S}") for age in (1, 50, 70)]
    at = jobs.Workplace(store, tmp_path, PrivacyPolicy.parse(POLICY.format(days=days)))
    jobs.retain(at)
    insert(store, rows)
    jobs.retain(at)
    store.command("OPTIMIZE TABLE events FINAL")
    assert ages(store) == left
