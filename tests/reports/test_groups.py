"""The first groups of many are the same, and the same are hidden, as if every set of visitors had been joined."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reports import answer as answers
from analytics.reports import ties
from analytics.reports.daterange import Range, of_days
from analytics.reports.groups import Cell, Row, ranked, too_small
from analytics.reports.planner import Statement, plan
from analytics.reports.pool import Pool
from analytics.reports.query import parse_object
from analytics.reports.reporting import Reporting
from analytics.store import Store
from tests.reports.conftest import row
from tests.reports.test_cells import LATER, SITE, Twice

# Of each page: its visitors on each day, and its rows without a key.
PAGES = st.dictionaries(
    st.sampled_from("abcdefghij"),
    st.tuples(st.lists(st.frozensets(st.integers(1, 12), max_size=9), min_size=1, max_size=4), st.integers(0, 6)),
    min_size=1,
)


class Table:
    """Answers the four forms of one question as the engine would; notes which sets were joined. Of `missing` pages a
    set is not kept."""

    def __init__(
        self, pages: dict[str, tuple[list[frozenset[int]], int]], missing: frozenset[str] = frozenset()
    ) -> None:
        self.pages, self.missing, self.joined = pages, missing, set[str]()

    def run(self, part: Statement) -> list[Row]:
        if part.sql == "bounds":
            sizes = {page: [len(day) for day in days] for page, (days, _) in self.pages.items()}
            return [
                (page, max(n), self.pages[page][1], max(n), self.pages[page][1], sum(n), page in self.missing)
                for page, n in sizes.items()
            ]
        wanted: Any = list(self.pages) if part.sql == "sql" else part.parameters["keys"]
        if part.sql != "sql":
            assert {page in self.missing for page in wanted} == {part.sql == "rest"}
        self.joined |= set(wanted)
        unions = {page: len(frozenset().union(*self.pages[page][0])) for page in wanted}
        return [(page, n, self.pages[page][1], n, self.pages[page][1]) for page, n in unions.items()]


KEY = b"the key of these tests"
PART = Statement("sql", {}, ("event:page",), ("visitors", "pageviews"), True, "bounds", "some", "rest")


def query(**more: Any) -> Any:
    asked = {"metrics": ["visitors", "pageviews"], "dimensions": ["event:page"], "date_range": "7d", **more}
    return parse_object({"site_id": SITE, **asked})


@settings(max_examples=400, deadline=None)
@given(
    pages=PAGES,
    missing=st.frozensets(st.sampled_from("abcdefghij")),
    minimum=st.integers(1, 6),
    limit=st.integers(1, 5),
    offset=st.integers(0, 3),
)
def test_what_is_shown_and_hidden_is_that_of_all_groups(
    pages: dict[str, tuple[list[frozenset[int]], int]], missing: frozenset[str], minimum: int, limit: int, offset: int
) -> None:
    asked = query(pagination={"limit": limit, "offset": offset})
    table = Table(pages, missing)
    found = ranked(table.run, [PART], asked, answers.order_of(asked), minimum, KEY)
    assert found is not None
    whole = {(line[0],): line for line in Table(pages).run(PART)}
    cells = {key: type(found.cells[key])({"visitors": line[1]}, line[3], line[4]) for key, line in whole.items()}
    assert (found.small, found.few) == too_small(cells, minimum, 1, KEY)

    def first(held: dict[Any, Any]) -> list[tuple[Any, int]]:
        rows = [(key, cell.values["visitors"]) for key, cell in held.items() if key not in found.small | found.few]
        return sorted(rows, key=lambda row: (-row[1], row[0]))[: found.shown]

    assert first(found.cells) == first(cells)


def test_sets_of_the_many_are_not_joined() -> None:
    pages = {f"/{n}": ([frozenset(range(n, 2 * n)), frozenset(range(n, 2 * n))], 0) for n in range(10, 200)}
    table = Table(pages)
    assert ranked(table.run, [PART], query(pagination={"limit": 9}), [("visitors", "desc")], 5, KEY)
    assert "/199" in table.joined
    assert "/90" not in table.joined  # its sum is less than the ninth has
    assert len(table.joined) < 110


def test_one_that_may_be_among_the_first_is_joined_even_where_it_only_draws_level() -> None:
    pages: dict[str, tuple[list[frozenset[int]], int]] = {
        "/b": ([frozenset(range(6)), frozenset(range(6))], 0),  # at most 12, and 6
        "/c": ([frozenset(range(5)), frozenset(range(5, 10))], 0),  # at most 10, and 10
        "/a": ([frozenset(range(3)), frozenset(range(3, 6))], 0),  # at most 6, and 6
        **{f"/{n}": ([frozenset([n])], 0) for n in range(9)},
    }
    asked = query(pagination={"limit": 2})
    found = ranked(Table(pages).run, [PART], asked, answers.order_of(asked), 1, KEY)
    assert found is not None
    assert sorted((-cell.values["visitors"], key[0]) for key, cell in found.cells.items())[:2] == [
        (-10, "/c"),
        (-6, "/a"),
    ]


def test_other_questions_count_every_group() -> None:
    by_views = query(order_by=[["pageviews", "desc"]], pagination={"limit": 9})
    for asked in (by_views, query(), query(order_by=[["visitors", "asc"]], pagination={"limit": 9})):
        assert ranked(Table({}).run, [PART], asked, answers.order_of(asked), 5, KEY) is None
    assert ranked(Table({}).run, [PART, PART], query(pagination={"limit": 9}), [("visitors", "desc")], 5, KEY) is None


def plan_of(held: Reporting, asked: Any, range_: Range) -> list[str]:
    return [part.bounds for part in plan(asked, range_, (), held.cover(SITE, range_)).parts]


def test_the_first_pages_of_cells_are_those_of_the_rows(store: Store, tmp_path: Any) -> None:
    """Small pages, pages that are small on each day but not together, and one that hides for another's sake."""
    twice = Twice(store, tmp_path)
    rows = []
    for page in range(40):
        for visitor in range(1 + page % 9):
            for day in (10, 11, 12)[: 1 + page % 3]:
                number = visitor + (day * 100 if page % 4 == 0 else 0)
                rows.append(row(1 + number, f"2026-11-{day} 10:{page:02}:{visitor:02}.000", f"/{page}"))
    rows.append(row(0, "2026-11-10 10:00:00.000", "/nobody", kind="count"))
    twice.fill(rows)
    range_ = of_days(LATER.date().replace(day=9), LATER.date().replace(day=13), "UTC")
    pool = Pool(lambda: store, 1)
    raw, cells = (
        Reporting(pool, tmp_path, None, minimum_cell=3, now=lambda: LATER, raw_rows=least) for least in (10**9, 0)
    )
    for dimension in ("event:page", "visit:entry_page", "visit:exit_page"):
        metrics = ["visitors", "pageviews" if dimension == "event:page" else "visits"]
        for limit, offset in ((9, 0), (5, 7), (30, 20)):
            asked = query(
                metrics=metrics,
                dimensions=[dimension],
                date_range=["2026-11-09", "2026-11-13"],
                pagination={"limit": limit, "offset": offset},
                include={"total_rows": True},
            )
            assert plan_of(cells, asked, range_) != [""]
            given_ = raw.ask(asked), cells.ask(asked)
            assert given_[0]["results"] == given_[1]["results"]
            assert given_[0]["meta"] == given_[1]["meta"]


def test_which_of_two_equal_groups_is_hidden_is_always_the_same_and_known_to_nobody() -> None:
    """Asked twice, an answer that hides now one and now the other of them tells both. One whose choice is known
    beforehand tells too: of two hidden pages with eight visits, beside one that is shown with five, both have four."""
    cells = {("/a",): Cell({}, 1), ("/b",): Cell({}, 3), ("/c",): Cell({}, 3), ("/d",): Cell({}, 9)}
    chosen = set()
    for number in range(20):
        key = bytes([number]) * 32
        found = [too_small(dict(order), 2, 1, key) for order in permutations(cells.items())]
        assert found == [found[0]] * len(found)
        chosen.add(frozenset(found[0][0]))
    assert chosen == {frozenset({("/a",), ("/b",)}), frozenset({("/a",), ("/c",)})}


def test_the_key_of_ties_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    key = ties.ties_key(tmp_path)
    assert len(key) == ties.BYTES
    assert ties.ties_key(tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == [ties.NAME]
    assert (tmp_path / ties.NAME).stat().st_mode & 0o777 == 0o600
    assert ties.ties_key(tmp_path / "missing") == ties.ties_key(tmp_path / "absent") != key
