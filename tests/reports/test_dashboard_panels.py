"""Panels of the overview: what they list, how more of it is shown, and which days a range has."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest

from analytics.reports.dashboard.overview import MORE_ROWS, ROWS
from analytics.reports.dashboard.views import View, parse
from analytics.reports.reporting import Reporting
from tests.reports.conftest import row
from tests.reports.test_http import Outside

DAYS = "from=2026-11-01&to=2026-11-30"


class Reader:
    """Somebody who is signed in."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        signed_in = outside.call(
            "POST", "/login", data={"token": outside.analyst}, headers={"origin": "http://stats.example"}
        )
        self.cookie = signed_in.headers["set-cookie"].partition(";")[0]

    def panel(self, address: str, name: str) -> str:
        text = self.outside.call("GET", address, headers={"cookie": self.cookie}).text
        return text.partition(f'<section class="panel" id="{name}"')[2].partition("</section>")[0]


def labels(panel: str) -> list[str]:
    return re.findall(r'title="([^"]*)"', panel)


def test_more_rows_of_a_panel_are_one_link_away_and_so_are_fewer(reporting: Callable[..., Reporting]) -> None:
    rows = [row(n, "2026-11-10 10:00:00", f"/p{n:02}") for n in range(1, ROWS + 8)]
    reader = Reader(Outside(reporting(rows)))
    few = reader.panel(f"/?{DAYS}", "pages")
    assert len(labels(few)) == ROWS
    assert "7 more" in few
    (link,) = re.findall(r'<a href="([^"]*)">Show more', few)
    assert link.endswith("#pages")
    more = reader.panel(link.replace("&amp;", "&").partition("#")[0], "pages")
    assert labels(more) == [f"/p{n:02}" for n in range(1, ROWS + 8)]
    assert "more<" not in more
    (back,) = re.findall(r'<a href="([^"]*)">Show fewer', more)
    assert reader.panel(back.replace("&amp;", "&").partition("#")[0], "pages") == few
    assert "Show" not in reader.panel(f"/?{DAYS}", "places"), "nothing is left out of it"
    assert MORE_ROWS > ROWS


def test_what_nobody_with_a_key_saw_and_is_no_page_view_is_not_listed(reporting: Callable[..., Reporting]) -> None:
    rows = [row(1, "2026-11-10 10:00:00", "/a"), row(0, "2026-11-10 10:00:00", "/pixel.gif", name="request")]
    assert labels(Reader(Outside(reporting(rows))).panel(f"/?{DAYS}", "pages")) == ["/a"]


@pytest.mark.parametrize(
    ("today", "first"),
    [("2026-11-26", "2025-12-01"), ("2026-12-31", "2026-01-01"), ("2026-01-01", "2025-02-01")],
)
def test_twelve_months_end_today(today: str, first: str) -> None:
    assert View(period="12mo").date_range(dt.date.fromisoformat(today)) == [first, today]


def test_another_tab_of_a_panel_begins_with_few_rows_again() -> None:
    view = parse([("more", "pages"), ("site", "s")], "s")
    assert "more=pages" in view.url()
    assert "more" not in view.with_tab("pages", "entry")
    assert "more=pages" in view.with_tab("sources", "channel")
    assert parse([("more", "nothing")], "s").more == ""
