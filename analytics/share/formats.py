"""Released cells as files: Parquet, CSV, JSON with Frictionless and CSVW descriptions, Plausible's import archive."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analytics.anonymise.sealed import COLUMNS, Cell, SealedRelease, write_parquet
from analytics.share import plausible

EARLIEST = (1980, 1, 1, 0, 0, 0)  # archives of the same cells have the same bytes
DESCRIPTIONS = {
    "site": "the site's host name",
    "period": "day, ISO week or month (UTC)",
    "cube": "what the cell is counted by",
    "key": "the value counted; empty for totals",
    "metric": "visitors, visits, pageviews, events or bounces; -kept, -lost, -beyond: what clipping kept and took",
    "value": "the noisy number as it was drawn: it may be negative",
    "sigma": "standard deviation of its noise; value +- 1.96 sigma is a 95 % interval",
}


def package(release: SealedRelease, cells: Sequence[Cell], format_: str, licence: str = "") -> dict[str, bytes]:
    """File name -> content: the data, its descriptions, and the release's signed manifest.

    Raises ValueError when the format can't hold the release.
    """
    stem = release.period.file_stem
    data = _data(release, cells, format_)
    files = dict(data)
    manifest = release.manifest_path.read_bytes()
    files[f"{stem}.manifest.json"] = manifest
    if format_ == "csv":
        files[f"{stem}.csv-metadata.json"] = _json(_csvw(f"{stem}.csv", release))
    files["datapackage.json"] = _json(_frictionless(release, data, format_, licence))
    return files


def archive(files: Mapping[str, bytes]) -> bytes:
    """One zip with the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(files):
            bundle.writestr(zipfile.ZipInfo(name, EARLIEST), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _data(release: SealedRelease, cells: Sequence[Cell], format_: str) -> dict[str, bytes]:
    stem = release.period.file_stem
    if format_ == "parquet":
        if len(cells) == release.manifest["file"]["rows"]:
            return {f"{stem}.parquet": release.path.read_bytes()}  # the sealed file itself
        return {f"{stem}.parquet": write_parquet(cells)}
    if format_ == "csv":
        return {f"{stem}.csv": csv_of(COLUMNS, ([getattr(cell, name) for name in COLUMNS] for cell in cells))}
    if format_ == "json":
        return {f"{stem}.json": _json([{name: getattr(cell, name) for name in COLUMNS} for cell in cells])}
    if format_ == "plausible":
        return {name: csv_of(header, rows) for name, header, rows in plausible.tables(release, cells)}
    raise ValueError(f'there is no format "{format_}"')


def csv_of(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """RFC 4180, in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(header)
    writer.writerows([_inert(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _inert(value: Any) -> Any:
    """A key that a spreadsheet would run as a formula is quoted with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _frictionless(release: SealedRelease, data: Mapping[str, bytes], format_: str, licence: str) -> dict[str, Any]:
    """datapackage.json (specs.frictionlessdata.io)."""
    return {
        "profile": "data-package",
        "name": f"{release.site}-{release.period.file_stem}".lower(),
        "title": f"Visits of {release.site}, {release.period}: aggregated, differentially private",
        "created": release.manifest["sealed"],
        **({"licenses": [{"name": licence}]} if licence else {}),
        "resources": [
            {
                "name": name.partition(".")[0].lower(),
                "path": name,
                "format": name.rpartition(".")[2],
                "bytes": len(content),
                "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "encoding": "utf-8",
                "schema": {"fields": _fields(name, content, format_)},
            }
            for name, content in sorted(data.items())
        ],
    }


def _fields(name: str, content: bytes, format_: str) -> list[dict[str, str]]:
    if format_ == "plausible":
        header = content.partition(b"\r\n")[0].decode().split(",")
        return [{"name": column, "type": plausible.field_type(column)} for column in header]
    return [
        {"name": name, "type": "number" if name in ("value", "sigma") else "string", "description": DESCRIPTIONS[name]}
        for name in COLUMNS
    ]


def _csvw(name: str, release: SealedRelease) -> dict[str, Any]:
    """Metadata of one table (W3C CSV on the Web)."""
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "dc:title": f"Visits of {release.site}, {release.period}",
        "tableSchema": {
            "columns": [
                {
                    "name": column,
                    "titles": column,
                    "datatype": "double" if column in ("value", "sigma") else "string",
                    "dc:description": DESCRIPTIONS[column],
                }
                for column in COLUMNS
            ],
            "primaryKey": ["cube", "key", "metric"],
        },
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"
