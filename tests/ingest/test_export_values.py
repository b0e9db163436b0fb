"""What the columns of other tools' exports mean, file by file: counts, durations, rates, keys. No store is needed."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import pytest

from analytics.ingest.exports import reading
from analytics.ingest.exports.cell import Cell, ExportError, count, country_code, seconds, share, source_keys
from consent_middleware.lazy import UserError

DAY = (dt.date(2026, 11, 1), dt.date(2026, 11, 1))
GA4 = "# ---\n# Start date: 20261101\n# End date: 20261107\n"


def cells(
    folder: Path, name: str, text: str, report: str | None = None, encoding: str = "utf-8", *, days: bool = False
) -> list[Cell]:
    path = folder / name
    path.write_text(text, encoding=encoding)
    [file] = reading.read(path, report, DAY if days else None)
    return file.cells


@pytest.mark.parametrize(
    ("text", "number"),
    [("1234", 1234), ("1,234,567", 1_234_567), ("12.0", 12), (" 7 ", 7), ("", 0), ("-", 0), ("1\u00a0234", 1234)],
)
def test_counts_as_tools_write_them(text: str, number: int) -> None:
    assert count(text) == number


@pytest.mark.parametrize("text", ["-5", "1e30", "nan", "inf", "many"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="is not a count"):
        count(text)


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("65", 65), ("01:05", 65), ("1:02:03", 3723), ("1 min 5s", 65), ("2 hours 1 min", 7260), ("1 days 2 h", 93_600),
        ("0.5", 0.5), ("", 0),
    ],
)  # fmt: skip
def test_durations_in_figures_and_words(text: str, total: float) -> None:
    assert seconds(text) == total


@pytest.mark.parametrize(("text", "rate"), [("45%", 0.45), ("0.45", 0.45), ("45,5 %", 0.455), ("", 0), ("200%", 1)])
def test_rates_as_a_part_of_one(text: str, rate: float) -> None:
    assert share(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("name", "medium", "source", "channel"),
    [
        ("google", "organic", "Google", "Organic Search"),  # as our own rows call it
        ("google", "cpc", "Google", "Paid Search"),
        ("fb", "", "Facebook", "Organic Social"),
        ("My Letter", "email", "My Letter", "Email"),
        ("(direct)", "(none)", "Direct / None", "Direct"),
        ("Direct / None", "", "Direct / None", "Direct"),
        ("partner.example", "referral", "partner.example", "Referral"),
    ],
)
def test_a_source_has_the_name_that_our_own_rows_have(name: str, medium: str, source: str, channel: str) -> None:
    assert source_keys(name, medium) == {"visit:source": source, "visit:channel": channel}


@pytest.mark.parametrize(("text", "code"), [("gb", "GB"), ("United Kingdom", "GB"), ("Atlantis", "")])
def test_a_country_by_code_or_name(text: str, code: str) -> None:
    assert country_code(text) == code


def test_plausibles_columns(tmp_path: Path) -> None:
    def one(name: str, text: str) -> Cell:
        [cell] = cells(tmp_path, name, text)
        return cell

    laptop = one("imported_devices.csv", "date,device,visits\n2026-11-01,Laptop,3\n")
    assert (laptop.keys, laptop.visits) == ({"visit:device": "desktop"}, 3)
    entry = one("imported_entry_pages.csv", "date,entry_page,entrances\n2026-11-01,/,4\n")
    assert (entry.keys, entry.visits) == ({"visit:entry_page": "/"}, 4)
    leaving = one("imported_exit_pages.csv", "date,exit_page,exits\n2026-11-01,/bye,5\n")
    assert (leaving.keys, leaving.visits) == ({"visit:exit_page": "/bye"}, 5)
    event = one("imported_custom_events.csv", "date,name,events,pageviews\n2026-11-01,Signup,6,9\n")
    assert (event.keys, event.events) == ({"event:name": "Signup"}, 6)
    tagged = one("imported_sources.csv", "date,source,utm_medium,utm_campaign,visits\n2026-11-01,google,cpc,may,1\n")
    assert tagged.keys == {
        "visit:source": "Google",
        "visit:channel": "Paid Search",
        "visit:utm_medium": "cpc",
        "visit:utm_campaign": "may",
    }


def test_googles_columns(tmp_path: Path) -> None:
    text = (
        "Landing page,Sessions,Engagement rate,Average session duration\n/a?email=mary@example.net,100,0.6,12.5\n"
        "Grand total,100,0.6,12.5\n"
    )
    [cell] = cells(tmp_path, "g.csv", GA4 + text)
    assert (cell.report, cell.keys) == ("entry-pages", {"visit:entry_page": "/a"})
    assert (cell.visits, cell.bounces, cell.visit_seconds) == (100, 40, 1250)
    assert (cell.first, cell.last) == (dt.date(2026, 11, 1), dt.date(2026, 11, 7))
    [rate] = cells(tmp_path, "b.csv", GA4 + "Date,Sessions,Bounce rate\n20261102,50,20%\n")
    assert (rate.report, rate.first, rate.last, rate.bounces) == ("totals", *[dt.date(2026, 11, 2)] * 2, 10)
    [source] = cells(tmp_path, "s.csv", GA4 + "Session source / medium,Sessions\ngoogle / organic,8\n")
    assert source.keys == {"visit:source": "Google", "visit:channel": "Organic Search"}
    with pytest.raises(UserError, match="a table stands before"):
        cells(tmp_path, "n.csv", "# ---\nDate,Sessions\n20261102,50\n")


def test_matomos_columns(tmp_path: Path) -> None:
    pages = "label,nb_visits,nb_hits,url\nindex,5,9,https://example.org/a/b?token=x\nOthers,7,7,\n"
    [page] = cells(tmp_path, "x.csv", pages, "pages", days=True)
    assert (page.keys, page.visits, page.pageviews) == ({"event:page": "/a/b"}, 5, 9)
    phone, tablet = cells(
        tmp_path, "devices.csv", "label,nb_visits,avg_time_on_site\nSmartphone,4,30\nTablet,1,2\n", days=True
    )
    assert (phone.keys, phone.visit_seconds) == ({"visit:device": "mobile"}, 120)
    assert tablet.keys == {"visit:device": "tablet"}
    [week] = cells(tmp_path, "t.csv", 'date,nb_visits,bounce_rate\n"2026-11-02,2026-11-08",40,25%\n')
    assert (week.first, week.last, week.bounces) == (dt.date(2026, 11, 2), dt.date(2026, 11, 8), 10)
    [search] = cells(tmp_path, "search engines.csv", "label,nb_visits\nGoogle,3\n", days=True)
    assert search.keys == {"visit:source": "Google", "visit:channel": "Organic Search"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_of_the_encoding_is_no_part_of_the_first_column(tmp_path: Path, encoding: str) -> None:
    [cell] = cells(tmp_path, "t.csv", "nb_visits,date\n40,2026-11-02\n", encoding=encoding)
    assert cell.visits == 40
    [cell] = cells(tmp_path, "imported_visitors.csv", "date,visitors\n2026-11-02,7\n", encoding=encoding)
    assert cell.visitors == 7


def test_a_file_that_is_too_large_unpacked_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imported_visitors.csv", "date,visitors\n" + "2026-11-01,1\n" * 200_000)
    with pytest.raises(UserError, match="larger than 0 MB unpacked: export fewer months"):
        list(reading.read(tmp_path / "bomb.zip", None, None))
