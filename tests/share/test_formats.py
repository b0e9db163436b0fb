"""The formats as their readers see them: Plausible's import in the engine, Frictionless and CSVW by their rules."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analytics.anonymise.periods import Period
from analytics.share import formats, sharing
from tests.share.sealed_day import DAY, SITE, policy, send

# What Plausible's importer reads, table by table.
STRUCTURES = {
    "imported_visitors": "date Date, visitors UInt64, pageviews UInt64, bounces UInt64, visits UInt64, "
    "visit_duration UInt64",
    "imported_pages": "date Date, hostname String, page String, visits UInt64, visitors UInt64, pageviews UInt64",
    "imported_sources": "date Date, source String, referrer String, utm_source String, utm_medium String, "
    "utm_campaign String, utm_content String, utm_term String, pageviews UInt64, visitors UInt64, visits UInt64, "
    "visit_duration UInt64, bounces UInt32",
    "imported_locations": "date Date, country String, region String, city UInt64, visitors UInt64, visits UInt64, "
    "visit_duration UInt64, bounces UInt32, pageviews UInt64",
}

# A process of its own, because a process has one engine.
ENGINE = """
import json, sys, chdb
ask = lambda sql: json.loads(str(chdb.query(sql + " SETTINGS output_format_json_quote_64bit_integers=0", "JSON")))
print(json.dumps({table: ask(sql)["data"] for table, sql in json.loads(sys.argv[1]).items()}))
"""


def received(data_dir: Path, format_: str, **values: Any) -> Path:
    assert send(data_dir, policy(data_dir, format=format_, **values)).state == "delivered"
    return data_dir / "out" / SITE / "day-2026-11-19"


def test_plausibles_importer_reads_every_file(data_dir: Path) -> None:
    """Each file under the importer's own types, by the engine that Plausible imports with."""
    folder = received(data_dir, "plausible")
    files = {path.stem[:-18]: path for path in folder.glob("imported_*_20261119_20261119.csv")}
    assert set(files) == set(STRUCTURES)
    questions = {}
    for table, structure in STRUCTURES.items():
        columns = [part.split()[0] for part in structure.split(", ")]
        assert next(csv.reader(io.StringIO(files[table].read_text()))) == columns
        names = ", ".join(columns)
        questions[table] = f"SELECT {names} FROM file('{files[table]}', 'CSVWithNames', '{structure}')"
    done = subprocess.run([sys.executable, "-c", ENGINE, json.dumps(questions)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    (total,) = read["imported_visitors"]
    assert total == {"date": "2026-11-19", "visitors": 1234, "pageviews": 5000, "bounces": 0, "visits": 0,
                     "visit_duration": 0}  # fmt: skip
    assert [row["page"] for row in read["imported_pages"]] == ["/"]
    assert read["imported_locations"] == [], "what noise took below zero is no row"


def test_plausible_takes_days_only(data_dir: Path) -> None:
    release = sharing.read_release(data_dir / "releases", SITE, DAY)

    class Week:
        period = Period.parse("week:2026-W47")
        manifest = release.manifest
        manifest_path = release.manifest_path

    with pytest.raises(ValueError, match="one row per day"):
        formats.package(Week, release.cells(), "plausible")  # type: ignore[arg-type]  # a release of another period


@pytest.mark.parametrize("format_", ["parquet", "csv", "json", "plausible"])
def test_the_data_package_describes_every_file_with_its_hash(data_dir: Path, format_: str) -> None:
    """Frictionless: names, paths, bytes and hashes as the specification has them."""
    folder = received(data_dir, format_)
    package = json.loads((folder / "datapackage.json").read_text())
    assert package["profile"] == "data-package"
    assert package["name"] == "example.org-day-2026-11-19"
    data = {p.name for p in folder.iterdir()} - {"datapackage.json", "day-2026-11-19.manifest.json"}
    assert {resource["path"] for resource in package["resources"]} == {n for n in data if "metadata" not in n}
    for resource in package["resources"]:
        content = (folder / resource["path"]).read_bytes()
        assert resource["bytes"] == len(content)
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert resource["name"] == resource["name"].lower()
        fields = {field["name"]: field["type"] for field in resource["schema"]["fields"]}
        if resource["format"] == "csv":
            rows = list(csv.reader(io.StringIO(content.decode())))
            assert rows[0] == list(fields), "a field for every column, in their order"
            assert resource["encoding"] == "utf-8"
            for row in rows[1:]:
                for value, kind in zip(row, fields.values(), strict=True):
                    {"number": float, "integer": int, "date": DAY.first.fromisoformat}.get(kind, str)(value)


def test_csv_on_the_web_describes_the_table(data_dir: Path) -> None:
    """CSVW: found by its name beside the file, every column with its datatype, and a key that holds."""
    folder = received(data_dir, "csv")
    described = json.loads((folder / "day-2026-11-19.csv-metadata.json").read_text())
    assert described["@context"] == "http://www.w3.org/ns/csvw"
    rows = list(csv.DictReader(io.StringIO((folder / described["url"]).read_text())))
    schema = described["tableSchema"]
    assert [column["titles"] for column in schema["columns"]] == list(rows[0])
    assert {column["datatype"] for column in schema["columns"]} == {"string", "double"}
    keys = [tuple(row[name] for name in schema["primaryKey"]) for row in rows]
    assert len(set(keys)) == len(rows)
