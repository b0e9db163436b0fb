"""Files of exports: which tool wrote them, and their cells. A zip holds several."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from analytics.ingest.exports import ga4, matomo, plausible
from analytics.ingest.exports.cell import REPORTS, Cell, ExportError
from consent_middleware.lazy import UserError

MAX_BYTES: Final = 512 * 1024 * 1024


class ExportFile(msgspec.Struct, frozen=True):
    """One file of an export. `batch` is the hash of its bytes, by which it is known again."""

    name: str
    tool: str
    batch: str
    cells: list[Cell]


def is_export(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".zip", ".tsv")


def read(path: Path, report: str | None, days: tuple[dt.date, dt.date] | None) -> Iterator[ExportFile]:
    """The files of an export whose cells can be read. `report`, `days`: what a file of Matomo's does not say itself.

    Raises UserError with the name of the file, and the line where it has one.
    """
    try:
        if not zipfile.is_zipfile(path):
            yield _file(path.name, _bounded(path.name, path.stat().st_size, path.read_bytes), report, days)
            return
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if plausible.kind_of(member.filename)]
            if not members:
                raise ExportError("no file named imported_*.csv is in it: is it Plausible's export?")
            for member in members:
                unpack = partial(archive.read, member)
                yield _file(member.filename, _bounded(member.filename, member.file_size, unpack), report, days)
    except ExportError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: can't be read: {error}") from None


def _bounded(name: str, size: int, read_: Callable[[], bytes]) -> bytes:
    if size > MAX_BYTES:
        raise ExportError(f"{name} is larger than {MAX_BYTES // 2**20} MB unpacked: export fewer months at a time")
    return read_()


def _text(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Matomo's choice
        return raw.decode("utf-16", "replace")
    return raw.decode("utf-8-sig", "replace")


def _file(name: str, raw: bytes, report: str | None, days: tuple[dt.date, dt.date] | None) -> ExportFile:
    text = _text(raw)
    first_line = text.partition("\n")[0].strip()
    kind = plausible.kind_of(name)
    try:
        if kind:
            tool, cells = "plausible", list(plausible.cells(kind, csv.DictReader(io.StringIO(text))))
        elif ga4.begins(first_line):
            tool, cells = "ga4", []
            for first, last, table in ga4.tables(text.splitlines()):
                cells += ga4.cells(first, last, table)
        else:
            header = next(csv.reader([first_line], delimiter="\t" if "\t" in first_line else ","), [])
            if not matomo.begins(header):
                raise ExportError(
                    "not known as an export of Plausible (imported_*.csv), of Google Analytics 4 (first line # ---) or "
                    f"of Matomo (columns such as nb_visits); its columns are: {first_line[:120]}"
                )
            named = (report, dimension_of(report)) if report else matomo.report_of(header, name)
            rows = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first_line else ",")
            tool, cells = "matomo", list(matomo.cells(rows, *named, days))
    except (ExportError, csv.Error) as error:
        raise ExportError(f"{name}: {error}") from None
    return ExportFile(name, tool, hashlib.sha256(raw).hexdigest()[:32], cells)


def dimension_of(report: str) -> str:
    """The dimension of the labels of a report."""
    found = REPORTS[report]
    return ("source" if report == "sources" else found[0]) if found else ""
