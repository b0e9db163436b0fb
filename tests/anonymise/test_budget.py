"""The account of what was spent, by itself: what it refuses, to the last part in a billion, and what it keeps."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.anonymise import bounds
from analytics.anonymise.bounds import Plan
from analytics.anonymise.budget import AlreadySealedError, Budget, overspent_days
from analytics.anonymise.mechanism import OverspendError
from analytics.anonymise.periods import Period
from analytics.anonymise.release import plan_of
from analytics.anonymise.sealed import GENESIS
from tests.anonymise.audit_tools import DAY, SITE, policy

MONTH = Period.parse("month:2026-11")
WHOLE = bounds.promise(1.0, 1e-6)
BASE = plan_of(policy('[anonymity]\ncubes = ["total", "source"]\n'), SITE, DAY)


def spending(rho: float, delta: float = 0.0, period: Period = DAY, site: str = SITE) -> Plan:
    """A plan that spends these parts of what the promise allows."""
    measurement = msgspec.structs.replace(
        BASE.measurements[0], rho=rho * WHOLE.rho, delta=delta * WHOLE.threshold_delta
    )
    return msgspec.structs.replace(BASE, site=site, period=period, measurements=(measurement,))


@pytest.fixture
def budget(tmp_path: Path) -> Any:
    with Budget(tmp_path / "made" / "releases") as account:
        yield account


def commit(budget: Budget, plan: Plan, number: int = 1) -> None:
    budget.commit(plan, number, f"{number:064d}", b"cells", b"manifest")
    budget.written(plan.site, plan.period)


@pytest.mark.parametrize(("first", "second"), [((0.5, 0.0), (0.5, 0.0)), ((0.0, 0.5), (0.0, 0.5))])
def test_the_whole_promise_may_be_spent_and_a_millionth_more_may_not(
    budget: Budget, first: tuple[float, float], second: tuple[float, float]
) -> None:
    commit(budget, spending(*first, period=MONTH))
    budget.check(spending(*second))
    with pytest.raises(OverspendError, match="2026-11-19"):
        budget.check(spending(*(part * (1 + 3e-6) for part in second)))


def test_the_refusal_names_period_site_day_and_both_sums(budget: Budget) -> None:
    commit(budget, spending(0.75, period=MONTH))
    with pytest.raises(OverspendError) as caught:
        budget.check(spending(0.5))
    assert str(caught.value) == (
        f"day:2026-11-19 of example.org would spend rho {1.25 * WHOLE.rho:.6g} on 2026-11-19, the promise "
        f"(epsilon 1, delta 1e-06) allows {WHOLE.rho:.6g}"
    )


def test_one_release_alone_may_not_spend_more_than_the_promise_on_either_account(budget: Budget) -> None:
    for parts in ((1.01, 0.0), (0.0, 1.01)):
        with pytest.raises(OverspendError):
            budget.check(spending(*parts))


@pytest.mark.parametrize(
    "other", ["month:2026-10", "month:2026-12", "week:2026-W46", "day:2026-11-18", "day:2026-11-20"]
)
def test_what_was_spent_on_other_days_counts_for_nothing_here(budget: Budget, other: str) -> None:
    commit(budget, spending(1.0, period=Period.parse(other)))
    budget.check(spending(1.0))


@pytest.mark.parametrize("day", ["day:2026-11-01", "day:2026-11-30"])
def test_a_month_meets_what_was_spent_on_its_first_and_on_its_last_day(budget: Budget, day: str) -> None:
    commit(budget, spending(0.6, period=Period.parse(day)))
    with pytest.raises(OverspendError, match=day.removeprefix("day:")):
        budget.check(spending(0.6, period=MONTH))


def test_a_day_outside_of_the_period_is_not_held_against_it(budget: Budget) -> None:
    """The month overlaps the week; the days that the week does not have stand on the month's account alone."""
    commit(budget, spending(0.5, period=MONTH))
    commit(budget, spending(0.5, period=Period.parse("day:2026-11-30")), 2)
    budget.check(spending(0.5, period=Period.parse("week:2026-W47")))


def test_sites_have_accounts_of_their_own(budget: Budget) -> None:
    commit(budget, spending(1.0, site="other.example"))
    budget.check(spending(1.0))
    assert budget.head(SITE) == (0, GENESIS)
    assert budget.head("other.example") == (1, f"{1:064d}")
    assert budget.sealed_periods(SITE) == set()
    assert budget.sealed_periods("other.example") == {"day:2026-11-19"}


def test_a_period_is_sealed_once_and_the_refusal_says_so(budget: Budget) -> None:
    commit(budget, spending(0.1))
    with pytest.raises(AlreadySealedError) as caught:
        budget.check(spending(0.1))
    assert str(caught.value) == "day:2026-11-19 of example.org is sealed already; noise is drawn once"


def test_the_head_is_the_last_number_and_not_the_last_written(budget: Budget) -> None:
    for number, day in ((2, "day:2026-11-02"), (10, "day:2026-11-10"), (9, "day:2026-11-09")):
        commit(budget, spending(0.1, period=Period.parse(day)), number)
    assert budget.head(SITE) == (10, f"{10:064d}")


def test_what_was_committed_waits_with_its_bytes_until_it_is_written(budget: Budget) -> None:
    for number, day in ((1, "day:2026-11-01"), (2, "day:2026-11-02")):
        budget.commit(spending(0.1, period=Period.parse(day)), number, "0" * 64, b"cells", b"manifest")
    budget.written("other.example", Period.parse("day:2026-11-01"))
    assert len(budget.unwritten()) == 2
    budget.written(SITE, Period.parse("day:2026-11-01"))
    assert budget.unwritten() == [(SITE, Period.parse("day:2026-11-02"), b"cells", b"manifest")]


def test_a_commit_that_is_refused_leaves_nothing_and_the_account_usable(budget: Budget) -> None:
    with pytest.raises(OverspendError):
        budget.commit(spending(2.0), 1, "0" * 64, b"cells", b"manifest")
    assert (budget.sealed_periods(SITE), budget.unwritten()) == (set(), [])
    # A number that is taken fails after the first insert: that one is rolled back with it.
    commit(budget, spending(0.1, period=Period.parse("day:2026-11-01")))
    with pytest.raises(sqlite3.IntegrityError):
        budget.commit(spending(0.1), 1, "0" * 64, b"cells", b"manifest")
    commit(budget, spending(0.1), 2)


def test_a_second_account_on_the_folder_sees_what_the_first_spent(budget: Budget, tmp_path: Path) -> None:
    commit(budget, spending(1.0))
    with Budget(tmp_path / "made" / "releases") as second, pytest.raises(AlreadySealedError):
        second.check(spending(0.1))


def test_the_account_survives_a_power_cut_and_lies_beside_files_that_others_read(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with Budget(folder) as budget:
        [[mode]] = budget._database.execute("PRAGMA journal_mode").fetchall()
        [[synchronous]] = budget._database.execute("PRAGMA synchronous").fetchall()
        [[patience]] = budget._database.execute("PRAGMA busy_timeout").fetchall()
        assert (mode, synchronous, patience) == ("delete", 2, 30_000)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o755 == 0o755
    assert [path.name for path in folder.iterdir()] == ["budget.sqlite3"]
    with pytest.raises(sqlite3.ProgrammingError):
        budget.head(SITE)


def write_manifest(folder: Path, number: int, period: str, rho: float, delta: float) -> None:
    (folder / SITE).mkdir(parents=True, exist_ok=True)
    manifest = {
        "site": SITE, "number": number, "period": period, "file": {"name": f"{number}.parquet"},
        "spent": {"rho": rho * WHOLE.rho, "delta": delta * WHOLE.threshold_delta},
        "promise": {"epsilon": 1.0, "delta": 1e-6},
    }  # fmt: skip
    (folder / SITE / f"{number}.json").write_text(json.dumps({"manifest": manifest}))


def test_a_lost_account_is_filled_from_the_manifests_once(tmp_path: Path) -> None:
    write_manifest(tmp_path, 1, "month:2026-11", 0.5, 0.25)
    for _ in range(2):
        with Budget(tmp_path) as budget:
            assert budget.sealed_periods(SITE) == {"month:2026-11"}
            number, sha256 = budget.head(SITE)
            assert (number, len(sha256)) == (1, 64)
            budget.check(spending(0.5, 0.75))
            for parts in ((0.51, 0.0), (0.0, 0.76)):
                with pytest.raises(OverspendError):
                    budget.check(spending(*parts))


def manifest(period: str, rho: float, delta: float, epsilon: float = 1.0) -> dict[str, Any]:
    allowed = bounds.promise(epsilon, 1e-6)
    return {
        "period": period,
        "spent": {"rho": rho * allowed.rho, "delta": delta * allowed.threshold_delta},
        "promise": {"epsilon": epsilon, "delta": 1e-6},
    }


def test_a_day_on_which_manifests_spend_more_than_promised_is_found_with_its_sums() -> None:
    month = manifest("month:2026-11", 0.5, 0.5)
    assert overspent_days([month, manifest("day:2026-11-19", 0.5, 0.5)]) == []
    allowed = f"the promise allows {WHOLE.rho:.6g} and {WHOLE.threshold_delta:.3g}"
    assert overspent_days([month, manifest("day:2026-11-20", 0.6, 0.0), manifest("day:2026-11-19", 0.0, 0.6)]) == [
        f"2026-11-19: rho {0.5 * WHOLE.rho:.6g} and delta {1.1 * WHOLE.threshold_delta:.3g} were spent, {allowed}",
        f"2026-11-20: rho {1.1 * WHOLE.rho:.6g} and delta {0.5 * WHOLE.threshold_delta:.3g} were spent, {allowed}",
    ]


def test_the_largest_promise_of_a_day_is_what_counts_whatever_the_order() -> None:
    large, small = manifest("day:2026-11-19", 1.0, 1.0, epsilon=2.0), manifest("month:2026-11", 0.0, 0.0)
    assert overspent_days([large, small]) == overspent_days([small, large]) == []
    assert len(overspent_days([manifest("day:2026-11-18", 1.1, 0.0), manifest("day:2026-11-19", 1.0, 0.0, 2.0)])) == 1


def test_the_tolerance_is_of_sums_and_not_of_promises() -> None:
    assert overspent_days([manifest("day:2026-11-19", 1 + 1e-10, 1 + 1e-10)]) == []
    assert overspent_days([manifest("day:2026-11-19", 1 + 1e-7, 0.0)]) != []
    assert overspent_days([manifest("day:2026-11-19", 0.0, 1 + 1e-7)]) != []
    assert DAY.first == dt.date(2026, 11, 19)


def test_the_folder_is_written_by_its_owner_alone_whatever_the_process_allows(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Budget(tmp_path / "open"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755
