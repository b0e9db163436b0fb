"""The internal lane: no hidden cell of an answer follows from its totals."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reports.internal import determined, suppress


def rows_of(table: list[list[int]]) -> list[dict[str, object]]:
    return [
        {"page": f"/{r}", "device": f"d{c}", "visitors": value}
        for r, line in enumerate(table)
        for c, value in enumerate(line)
        if value
    ]


def solvable(table: list[list[int]], hidden: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The hidden cells that margins and shown cells determine: textbook elimination over fractions."""
    unknown = sorted(hidden)
    lines = [[(r, c) for c in range(len(table[0]))] for r in range(len(table))]
    lines += [[(r, c) for r in range(len(table))] for c in range(len(table[0]))]
    lines += [[cell for line in lines[: len(table)] for cell in line]]
    matrix = [[Fraction(cell in line) for cell in unknown] for line in lines]
    row = 0
    for column in range(len(unknown)):
        pivot = next((r for r in range(row, len(matrix)) if matrix[r][column]), None)
        if pivot is None:
            continue
        matrix[row], matrix[pivot] = matrix[pivot], matrix[row]
        matrix[row] = [value / matrix[row][column] for value in matrix[row]]
        for other in range(len(matrix)):
            if other != row and matrix[other][column]:
                factor = matrix[other][column]
                matrix[other] = [a - factor * b for a, b in zip(matrix[other], matrix[row], strict=True)]
        row += 1
    return {unknown[next(i for i, value in enumerate(line) if value)] for line in matrix if sum(map(bool, line)) == 1}


tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 30), min_size=width, max_size=width), min_size=2, max_size=5)
)


@settings(max_examples=300, deadline=None)
@given(tables)
def test_no_hidden_cell_follows_from_margins_and_shown_cells(table: list[list[int]]) -> None:
    rows = rows_of(table)
    found = suppress(rows, 5, dimensions=("page", "device"))
    assert all(flag for row, flag in zip(rows, found.hidden, strict=True) if 0 < int(str(row["visitors"])) < 5)
    hidden = {
        (int(str(row["page"])[1:]), int(str(row["device"])[1:]))
        for row, flag in zip(rows, found.hidden, strict=True)
        if flag
    }
    # A line whose every cell is hidden already can hide no more; its total is then a group of its own.
    decided = {(r, c) for r, c in solvable(table, hidden)}
    for r, c in decided:
        in_row = [cell for cell in hidden if cell[0] == r]
        in_column = [cell for cell in hidden if cell[1] == c]
        shown_row = [k for k, value in enumerate(table[r]) if value and (r, k) not in hidden]
        shown_column = [k for k in range(len(table)) if table[k][c] and (k, c) not in hidden]
        assert not shown_row, (table, hidden, in_row)
        assert not shown_column, (table, hidden, in_column)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 20))
def test_a_total_tells_nothing_about_a_group_below_the_minimum(sizes: list[int], cut_off: int) -> None:
    rows = [{"visitors": size} for size in sizes]
    found = suppress(rows, 5, total=sum(sizes) + cut_off)
    gone = sum(size for size, flag in zip(sizes, found.hidden, strict=True) if flag)
    if any(found.hidden) and any(size and not flag for size, flag in zip(sizes, found.hidden, strict=True)):
        assert gone + cut_off >= 5
        assert sum(found.hidden) + bool(cut_off) >= 2


def test_a_single_small_cell_takes_the_next_smallest_with_it() -> None:
    found = suppress([{"visitors": 3}, {"visitors": 50}, {"visitors": 7}], 5, total=60)
    assert found.hidden == (True, False, True)
    assert (found.primary, found.secondary) == (1, 1)


def test_nothing_is_hidden_where_every_cell_is_large() -> None:
    assert not any(suppress([{"visitors": 5}, {"visitors": 9}], 5, total=14).hidden)


def test_cells_that_several_lines_decide_together_are_found() -> None:
    # a + b, b + c and a + b + c + d are known, and so is c: then b, a and d follow.
    assert determined([[0, 1], [1, 2], [0, 1, 2, 3], [2]]) == {0, 1, 2, 3}
    assert determined([[0, 1], [1, 2]]) == set()
