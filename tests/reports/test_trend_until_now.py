"""The trend of a day or a month that is not over ends at the present: what is still to come is no zero."""

from __future__ import annotations

import datetime as dt

from analytics.reports.dashboard.overview import _series

NOW = dt.datetime(2026, 11, 26, 10, 30, tzinfo=dt.UTC)


def answer(labels: list[str], *found: tuple[str, int]) -> dict[str, object]:
    return {"results": [{"dimensions": [at], "metrics": [n]} for at, n in found], "meta": {"time_labels": labels}}


def test_hours_that_have_not_come_are_not_drawn_as_zero() -> None:
    hours = [f"2026-11-26 {hour:02}:00:00" for hour in range(24)]
    labels, points = _series(answer(hours, ("2026-11-26 09:00:00", 7)), NOW)
    assert labels == hours[:11]
    assert points == [0] * 9 + [7, 0]


def test_days_that_have_not_come_are_not_drawn_as_zero() -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 31)]
    assert _series(answer(days, ("2026-11-25", 7)), NOW)[0][-1] == "2026-11-26"


def test_a_range_that_lies_in_the_future_keeps_its_axis() -> None:
    assert _series(answer(["2027-01-01", "2027-01-02"]), NOW) == (["2027-01-01", "2027-01-02"], [0, 0])
