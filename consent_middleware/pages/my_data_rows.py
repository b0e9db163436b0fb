"""The rows of a copy: as the page shows them, and as CSV to take away. The JSON to take away is the answer itself."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import msgspec

from consent_middleware.pages.words import Words


def decoded(answer: bytes | None) -> dict[str, Any]:
    """The answer of the desk: `rows`, and what is switched."""
    found = msgspec.json.decode(answer) if answer is not None else {}
    return found if isinstance(found, dict) else {"rows": found}


def rows_of(answer: bytes | None) -> list[dict[str, Any]]:
    """The rows of an answer, oldest first."""
    found = decoded(answer).get("rows", [])
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


class Line(msgspec.Struct, frozen=True):
    """One row as the page shows it: `cells` under the page's columns, `rest` by the names of the copy."""

    cells: tuple[str, ...]
    rest: tuple[tuple[str, str], ...]


# What each column of the page is made of, and what stands between the parts; what no column takes stands under
# "Details", so that nothing is left out.
TAKEN: Final = (
    ("time",),
    ("name",),
    ("path",),
    ("source",),
    ("device", "os os_version", "browser browser_version"),
    ("country", "region", "city"),
)
BETWEEN: Final = " · "


def columns(t: Words) -> tuple[str, ...]:
    """The headings, one for each of TAKEN, and the one of the rest."""
    return (t("Time"), t("What"), t("Page"), t("Came from"), t("Device"), t("Country"), t("Details"))


def table_of(rows: list[dict[str, Any]], t: Words) -> tuple[tuple[str, ...], list[Line]]:
    """Headings and lines, without the columns in which no row has anything."""
    lines = [line_of(row) for row in rows]
    headings = columns(t)
    held = [n for n in range(len(TAKEN)) if n == 0 or any(line.cells[n] for line in lines)]
    shown = [Line(tuple(line.cells[n] for n in held), line.rest) for line in lines]
    return (*(headings[n] for n in held), headings[-1]), shown


def line_of(row: dict[str, Any]) -> Line:
    """A row for a reader: the time to the second, in UTC; the copies to take away are exact."""

    def text(name: str) -> str:
        value = row.get(name, "")
        if name == "time" and isinstance(value, str):
            return value[:19].replace("T", " ")
        if value in ("", None, 0, {}, []):
            return ""
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def joined(names: str) -> str:
        return " ".join(filter(None, map(text, names.split())))

    taken = {name for column in TAKEN for names in column for name in names.split()}
    rest = ((name, text(name)) for name in row if name not in taken)
    return Line(
        tuple(BETWEEN.join(filter(None, map(joined, column))) for column in TAKEN),
        tuple((name, value) for name, value in rest if value),
    )


def csv_of(rows: list[dict[str, Any]]) -> str:
    """RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name, "")) for name in names])
    return out.getvalue()


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} and not _number(text) else text


def _number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
