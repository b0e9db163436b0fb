"""What `analytics doctor` prints on a terminal of 80 columns, and that its two tables agree."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from analytics.cli import doctor as printing
from analytics.doctor import Found, Kind, Part, examine
from analytics.ingest.loader import load_pending
from analytics.reports.querylog import Entry, QueryLog
from analytics.retention import ROWS
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.desk import write_answer
from consent_middleware.rights.register import Register
from consent_middleware.spool import Spool
from tests.ingest.rows import row as captured_row
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
    printing._print(Found([held], 1, 1.0, 0, 0, 0, {}, [], [kind], 0))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("2026-11-20") == 5
    assert max(map(len, printed.splitlines())) <= 80


def test_the_row_of_a_site_and_of_most_kinds_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    then = dt.datetime(2026, 11, 20, 10, 11, tzinfo=dt.UTC)
    held = [Part("example.org", "consent", 1_234_567, 12_345, then, then, then, then)]
    kinds = [Kind("requests about rights", "", "3 years after their end", 1, then, then, then)]
    printing._print(Found(held, 1, 1.0, 0, 0, 0, {}, [], kinds, 0))
    lines = capsys.readouterr().out.splitlines()
    assert any({"example.org", "1,234,567", "2026-11-20"} <= set(line.split()) for line in lines), lines
    assert any({"requests", "end", "2026-11-20"} <= set(line.split()) for line in lines), lines


def test_what_is_in_the_spool_is_counted_in_rows_loaded_or_not(store: Store, tmp_path: Path) -> None:
    """A file that a worker still writes to stays after its rows were loaded: both numbers are about rows, and agree."""
    policy, now = PrivacyPolicy.parse(POLICY), dt.datetime.now(dt.UTC)
    spool = Spool(tmp_path / "spool")  # its file stays open for longer than this takes
    try:
        for number in range(3):
            spool.append(captured_row(number))
        spool.sync()
        before = examine(store, tmp_path, policy, None, now)
        load_pending(store, tmp_path, policy)
        after = examine(store, tmp_path, policy, None, now)
    finally:
        spool.close()
    in_spool = [next(k.count for k in found.kinds if k.what == "rows in the spool") for found in (before, after)]
    assert in_spool == [3, 3]
    assert (before.waiting_rows, after.waiting_rows, after.waiting_bytes) == (3, 0, 0)
    assert before.waiting_bytes > 0


def test_a_request_that_was_answered_is_not_open(store: Store, tmp_path: Path) -> None:
    for ticket in ("answered", "waiting"):
        Register(tmp_path).open("restriction", "visitor", identity="cookie", ticket=ticket)
    write_answer(tmp_path, "answered", b"{}")
    assert examine(store, tmp_path, PrivacyPolicy.parse(POLICY), None, dt.datetime.now(dt.UTC)).requests_open == 1


def test_questions_are_counted_one_by_one_since_the_first(store: Store, tmp_path: Path) -> None:
    for at in ("2026-11-03T10:00:00", "2026-11-03T11:00:00", "2026-11-05T09:00:00"):
        QueryLog(tmp_path).add(Entry(at, "a", "b", "c", {}))
    found = examine(store, tmp_path, PrivacyPolicy.parse(POLICY), None, dt.datetime(2026, 11, 6, tzinfo=dt.UTC))
    questions = next(kind for kind in found.kinds if kind.what == "questions to the internal reports")
    assert questions.count == 3
    assert questions.since == dt.datetime(2026, 11, 3, 10, tzinfo=dt.UTC)
    assert f"{questions.ends:%Y-%m-%d}" == "2028-01-01", "with the last of its month, 13 months later"


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
