"""Other tools' exported totals: each cell once, shown where a report asks for imports, and never released."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.ingest.exports.cells import import_export
from analytics.reports.answer import Setting, answer
from analytics.reports.query import parse_object
from analytics.store import Store, open_store
from consent_middleware.lazy import UserError

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
PLAUSIBLE = {
    "imported_visitors_20261101_20261102.csv": """\
"date","visitors","pageviews","bounces","visits","visit_duration"
"2026-11-01",10,30,4,12,600
"2026-11-02",20,50,10,20,1000
""",
    "imported_sources_20261101_20261102.csv": """\
"date","source","referrer","utm_source","utm_medium","utm_campaign","utm_content","utm_term","pageviews","visitors","visits","visit_duration","bounces"
"2026-11-01","Google","google.com","","","","","",20,7,8,400,2
"2026-11-01","","","","","","","",10,6,4,200,2
"2026-11-02","Google","google.com","","","","","",50,20,20,1000,10
""",
    "imported_pages_20261101_20261102.csv": """\
"date","hostname","page","visits","visitors","pageviews","total_scroll_depth","total_scroll_depth_visits","total_time_on_page","total_time_on_page_visits"
"2026-11-01","example.org","/",10,9,20,0,0,0,0
"2026-11-02","example.org","/join",12,11,13,0,0,0,0
""",
    "imported_locations_20261101_20261102.csv": """\
"date","country","region","city","visitors","visits","visit_duration","bounces","pageviews"
"2026-11-01","GB","GB-ENG",2643743,10,12,600,4,30
""",
    "imported_custom_props_20261101_20261102.csv": '"date","property","value","visitors","events"\n',
}
GA4 = """\
# ----------------------------------------
# Pages and screens: Page path and screen class
# Example - GA4
# ----------------------------------------
#
# All Users
# Start date: 20261101
# End date: 20261107
Page path and screen class,Views,Active users,Views per active user,Event count
/,1000,400,2.5,3000
/join?email=mary@example.net,50,40,1.25,150

# Start date: 20261101
# End date: 20261107
Nth day,Active users,Sessions,Engaged sessions,Views
0000,100,110,60,300
0001,120,130,70,310
"""
MATOMO = "date,nb_uniq_visitors,nb_visits,nb_actions,bounce_count,sum_visit_length\n2026-11-01,90,100,250,40,9000\n"
MATOMO_COUNTRIES = (
    "Label,Visits,Actions,Bounce Rate,Metadata: code\nUnited Kingdom,80,200,50%,gb\nFrance,20,50,25%,fr\n"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "var") as opened:
        yield opened


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def ask(store: Store, metrics: list[str], *, imports: bool = True, **more: Any) -> Any:
    query = {"site_id": "example.org", "metrics": metrics, "date_range": ["2026-11-01", "2026-11-07"]} | more
    return answer(store, parse_object(query | {"include": {"imports": imports}}), Setting(minimum_cell=1), NOW)


def rows(answered: Any) -> list[tuple[Any, ...]]:
    return [(*row["dimensions"], *row["metrics"]) for row in answered["results"]]


def test_plausibles_zip_is_shown_where_imports_are_asked_for_and_only_there(tmp_path: Path, store: Store) -> None:
    taken = import_export(store, zipped(tmp_path / "export.zip", PLAUSIBLE), site="example.org")
    assert {(file.tool, file.cells) for file in taken} == {("plausible", 2), ("plausible", 3), ("plausible", 1)}
    metrics = ["visitors", "visits", "pageviews", "bounce_rate", "visit_duration", "views_per_visit"]
    assert rows(ask(store, metrics)) == [(30, 32, 80, 44, 50, 2.5)]
    assert rows(ask(store, metrics, imports=False)) == [(0, 0, 0, 0, 0, 0)]
    assert rows(ask(store, ["visitors"], dimensions=["time:day"]))[:2] == [("2026-11-01", 10), ("2026-11-02", 20)]
    by_source = ask(store, ["visitors", "pageviews"], dimensions=["visit:source", "visit:channel"])
    assert rows(by_source) == [("Google", "Organic Search", 27, 70), ("Direct / None", "Direct", 6, 10)]
    assert by_source["meta"]["imports_included"] is True
    assert rows(ask(store, ["pageviews"], dimensions=["event:page"])) == [("/", 20), ("/join", 13)]
    assert rows(ask(store, ["visits"], dimensions=["visit:country_name"])) == [("United Kingdom", 12)]


def test_an_answer_without_imports_says_why(tmp_path: Path, store: Store) -> None:
    assert ask(store, ["visitors"])["meta"]["imports_skip_reason"] == "no_imported_data"
    import_export(store, zipped(tmp_path / "export.zip", PLAUSIBLE), site="example.org")
    filtered = ask(store, ["visitors"], filters=[["is", "event:page", ["/"]]])
    crossed = ask(store, ["visitors"], dimensions=["visit:source", "event:page"])
    for answered in (filtered, crossed):
        assert answered["meta"]["imports_included"] is False
        assert answered["meta"]["imports_skip_reason"] == "unsupported_query"


def test_the_same_days_are_never_counted_twice(tmp_path: Path, store: Store) -> None:
    for _ in range(2):
        import_export(store, zipped(tmp_path / "export.zip", PLAUSIBLE), site="example.org")
    name = "imported_visitors_20261102_20261103.csv"
    later = PLAUSIBLE["imported_visitors_20261101_20261102.csv"].replace("2026-11-01", "2026-11-03")
    [taken] = import_export(store, written(tmp_path / name, later), site="example.org")
    assert (taken.cells, taken.held) == (1, 1)
    assert rows(ask(store, ["visitors"])) == [(40,)]
    # days on which the site counted itself are its own
    store.command(
        "INSERT INTO events (site, time, kind, name, visitor, basis, loaded) "
        "VALUES ('example.org', '2026-11-02 10:00:00', 'view', 'pageview', 7, 'imported', now())"
    )
    assert rows(ask(store, ["visitors", "pageviews"])) == [(11, 31)]


@pytest.mark.parametrize("first", ["day", "week"])
def test_a_week_and_its_days_are_never_counted_both(tmp_path: Path, store: Store, first: str) -> None:
    header = "date,nb_visits\n"
    files = {
        "day": written(tmp_path / "day.csv", f"{header}2026-11-04,10\n"),
        "week": written(tmp_path / "week.csv", f'{header}"2026-11-02,2026-11-08",40\n'),
        "next": written(tmp_path / "next.csv", f'{header}"2026-11-06,2026-11-12",50\n'),
    }
    second = "week" if first == "day" else "day"
    [taken] = import_export(store, files[first], site="example.org")
    assert (taken.cells, taken.held) == (1, 0)
    [taken] = import_export(store, files[second], site="example.org")
    assert (taken.cells, taken.held) == (0, 1)
    [taken] = import_export(store, files["next"], site="example.org")
    assert (taken.cells, taken.held) == ((0, 1) if first == "week" else (1, 0))


def test_one_file_may_be_imported_for_two_sites(tmp_path: Path, store: Store) -> None:
    path = written(tmp_path / "totals.csv", MATOMO)
    for site in ("other.example", "example.org"):
        [taken] = import_export(store, path, site=site)
        assert taken.cells == 1
    assert rows(ask(store, ["visits"])) == [(100,)]
    assert store.query("SELECT count(), uniqExact(site) FROM imported_cells") == [(2, 2)]


def test_a_crash_before_or_after_the_insert_is_made_good(tmp_path: Path, store: Store) -> None:
    path = zipped(tmp_path / "export.zip", PLAUSIBLE)

    class Dying:
        """The real store, which dies at its nth statement."""

        def __init__(self, left: int) -> None:
            self._left = left

        def __getattr__(self, name: str) -> Any:
            if name == "command":
                self._left -= 1
                if self._left == 0:
                    raise InterruptedError
            return getattr(store, name)

    for step in (1, 2, 3, 1, 2, 3):  # before the table, the insert, the end; the next file then
        with pytest.raises(InterruptedError):
            import_export(Dying(step), path, site="example.org")  # type: ignore[arg-type]  # a proxy
    import_export(store, path, site="example.org")
    assert rows(ask(store, ["visitors"])) == [(30,)]


def test_google_analytics_gives_days_and_whole_periods(tmp_path: Path, store: Store) -> None:
    [taken] = import_export(store, written(tmp_path / "pages.csv", GA4), site="example.org")
    assert (taken.tool, taken.cells) == ("ga4", 4)
    assert rows(ask(store, ["visitors", "visits", "bounce_rate"])) == [(220, 240, 46)]
    assert rows(ask(store, ["pageviews"], dimensions=["event:page"])) == [("/", 1000), ("/join", 50)]
    half = ask(store, ["pageviews"], dimensions=["event:page"], date_range=["2026-11-01", "2026-11-03"])
    assert rows(half) == []  # a cell of a week says nothing about three days


def test_matomo_gives_totals_and_reports_in_its_own_encoding(tmp_path: Path, store: Store) -> None:
    import_export(store, written(tmp_path / "totals.csv", MATOMO, "utf-16"), site="example.org")
    day = (dt.date(2026, 11, 1), dt.date(2026, 11, 1))
    path = written(tmp_path / "Export _ Country _ 2026-11-01.csv", MATOMO_COUNTRIES, "utf-16")
    import_export(store, path, site="example.org", days=day)
    assert rows(ask(store, ["visitors", "visits", "bounce_rate", "visit_duration"])) == [(90, 100, 40, 90)]
    assert rows(ask(store, ["visits"], dimensions=["visit:country"])) == [("GB", 80), ("FR", 20)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "a,b\n1,2\n", "not known as an export of Plausible"),
        ("imported_visitors.csv", "date,visitors\n2026-13-01,5\n", '"2026-13-01" is not a day such as 2026-11-13'),
        ("imported_visitors.csv", "date,visitors\n2026-11-01,many\n", '"many" is not a count'),
        ("report.csv", "Label,nb_visits\nA,5\n", "which report is this? Say --report"),
        ("browsers.csv", "label,nb_visits\nFirefox,5\n", "the rows name no day"),
        ("g.csv", "# ----\n# Start date: 20261101\n# End date: 20261101\nFoo,Sessions\na,1\n", 'a table by "Foo"'),
    ],
)
def test_what_cannot_be_read_is_said_with_the_way_out(
    tmp_path: Path, store: Store, name: str, text: str, said: str
) -> None:
    with pytest.raises(UserError, match=r".") as caught:
        import_export(store, written(tmp_path / name, text), site="example.org")
    assert said in str(caught.value)
    assert name in str(caught.value)


def test_the_command_imports_an_export(tmp_path: Path) -> None:
    path = zipped(tmp_path / "export.zip", PLAUSIBLE)
    command = [sys.executable, "-m", "analytics", "import", str(path), "--data-dir", str(tmp_path / "var")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert "3 cells of plausible imported, 2026-11-01 to 2026-11-02" in done.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.stdout.count("nothing new") == 4
