"""What `analytics doctor` prints on a terminal of 80 columns, and that its two tables agree."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from analytics.cli import doctor as printing
from analytics.doctor import Found, Kind, Part, examine
from analytics.retention import ROWS
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from tests.reports.conftest import insert, row

POLICY = (
    'revision = 1\nupdated = 2026-11-20\n[controller]\nname = "Example"\n[site]\nhosts = ["site.example"]\n'
    'hooks = "none"\n'
)


def test_no_date_and_no_name_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    then = dt.datetime(2026, 11, 20, 10, 11, tzinfo=dt.UTC)
    held = Part("example.org", "pseudonymous", 1_234_567, 12_345, then, then, then, then)
    kind = Kind("visits", "retention.raw_days", "raw_days", 1, then)
    printing._print(Found([held], 1, 1.0, 0, 0, {}, [], [kind], 0))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("2026-11-20") == 4
    assert max(map(len, printed.splitlines())) <= 80


def test_both_tables_name_the_same_day_for_the_oldest_row(store: Store, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    policy = PrivacyPolicy.parse(POLICY)
    days = dt.timedelta(days=policy.retention.raw_days)
    for age, ends_late in ((3, False), (policy.retention.raw_days + 1, False), (policy.retention.raw_days + 3, True)):
        store.command("TRUNCATE TABLE events")
        insert(store, [row(1, f"{now - dt.timedelta(days=age):%Y-%m-%d %H:%M:%S}")])
        found = examine(store, tmp_path, policy, None, now)
        kind = next(kind for kind in found.kinds if kind.what == ROWS)
        assert found.held[0].kept_until == kind.ends == found.held[0].since + days
        assert kind.overdue is ends_late
        assert ("are older than retention.raw_days" in " ".join(found.problems)) is ends_late, (
            "never one without the other"
        )
