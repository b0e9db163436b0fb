"""The internal lane: no hidden cell of an answer follows from its totals."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reports.internal import determined, pinned, suppress


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


def possible(table: list[list[int]], hidden: set[tuple[int, int]]) -> dict[tuple[int, int], set[int]]:
    """Two values (or the one) that each hidden cell can have, for whoever knows that hidden cells are not empty and
    all margins but those that are small groups themselves: the integer program solved by trying, so that no linear
    program of the same constraints tells more."""
    cells = sorted(hidden)
    rows = [sum(table[r][c] for c in range(len(table[0])) if (r, c) in hidden) for r in range(len(table))]
    columns = [sum(table[r][c] for r in range(len(table)) if (r, c) in hidden) for c in range(len(table[0]))]
    last_of_row = {r: max((c for k, c in cells if k == r), default=-1) for r in range(len(table))}
    last_of_column = {c: max((r for r, k in cells if k == c), default=-1) for c in range(len(table[0]))}
    for r, line in enumerate(table):
        if sum(line) < 5:
            rows[r], last_of_row[r] = 99, -1
    for c, line in enumerate(zip(*table, strict=True)):
        if sum(line) < 5:
            columns[c], last_of_column[c] = 99, -1
    found: dict[tuple[int, int], set[int]] = {cell: set() for cell in cells}
    chosen: list[int] = []

    def go() -> None:
        if all(len(values) > 1 for values in found.values()):
            return
        if len(chosen) == len(cells):
            for cell, value in zip(cells, chosen, strict=True):
                found[cell].add(value)
            return
        r, c = cells[len(chosen)]
        most = min(rows[r], columns[c], 30)
        must = {rows[r]} if last_of_row[r] == c else set(range(1, most + 1))
        must &= {columns[c]} if last_of_column[c] == r else set(range(1, most + 1))
        for value in sorted(must):
            rows[r], columns[c] = rows[r] - value, columns[c] - value
            chosen.append(value)
            go()
            chosen.pop()
            rows[r], columns[c] = rows[r] + value, columns[c] + value

    go()
    return found


small_tables = st.integers(2, 3).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 12), min_size=width, max_size=width), min_size=2, max_size=3)
)


@settings(max_examples=300, deadline=None)
@given(small_tables)
def test_margins_leave_every_small_cell_more_than_one_value(table: list[list[int]]) -> None:
    rows = rows_of(table)
    found = suppress(rows, 5, dimensions=("page", "device"))
    hidden = {
        (int(str(row["page"])[1:]), int(str(row["device"])[1:]))
        for row, flag in zip(rows, found.hidden, strict=True)
        if flag
    }
    if all(found.hidden):
        return  # nothing is shown but the keys
    for (r, c), values in possible(table, hidden).items():
        if len(values) == 1:
            line = [k for k, value in enumerate(table[r]) if value and (r, k) not in hidden]
            column = [k for k in range(len(table)) if table[k][c] and (k, c) not in hidden]
            assert not line, (table, hidden, (r, c))
            assert not column, (table, hidden, (r, c))


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


def test_cells_that_are_squeezed_between_sums_are_found() -> None:
    # a + b = 5, c + d = 5, a + c = 8, and none is empty: a and c are at most 4, so both are 4.
    assert pinned([([0, 1], 5), ([2, 3], 5), ([0, 2], 8)]) == {0, 1, 2, 3}
    assert pinned([([0, 1], 5), ([2, 3], 5)]) == set()
    found = suppress(rows_of([[4, 0, 1], [4, 5, 1]]), 5, dimensions=("page", "device"))
    assert all(found.hidden), "the 5 goes too"
