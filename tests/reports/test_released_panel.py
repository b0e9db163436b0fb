"""Which cells of a released table are shown as numbers."""

from __future__ import annotations

import math
import random

from analytics.reports.dashboard.overview import stands_out

SIGMA = 61.0


def interval(value: float) -> list[int]:
    return [max(0, math.floor(value - 1.96 * SIGMA)), max(0, math.ceil(value + 1.96 * SIGMA))]


def test_a_table_of_nothing_hardly_ever_shows_a_cell() -> None:
    draw = random.Random(7)
    tables = [[draw.gauss(0, SIGMA) for _ in range(250)] for _ in range(400)]
    wrong = sum(any(stands_out(round(v), interval(v), 250) for v in table) for table in tables)
    assert wrong <= 25  # 2.5 in 100 tables are expected, one-sided
    by_cell_alone = sum(any(interval(v)[0] > 0 for v in table) for table in tables)
    assert by_cell_alone > 350, "the bound of a single cell would have let most tables through"


def test_what_is_there_is_shown() -> None:
    assert stands_out(900, interval(900), 250)
    assert stands_out(150, interval(150), 1)
    assert not stands_out(192, interval(192), 250)
