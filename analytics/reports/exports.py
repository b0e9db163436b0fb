"""An answer as a file: CSV, JSON, Parquet, Arrow. One row a result; columns are the dimensions, then the metrics."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from analytics.reports.terminal import harmless

KEYS = 3
FORMATS = {
    "csv": ("text/csv; charset=utf-8", "csv"),
    "json": ("application/json", "json"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "arrow": ("application/vnd.apache.arrow.stream", "arrows"),
}


def export(answer: dict[str, Any], format_: str) -> bytes:
    """The bytes of a file. `format_` is one of FORMATS."""
    names, rows = table(answer)
    if format_ == "csv":
        return _csv(names, rows)
    if format_ == "json":
        return msgspec.json.encode([dict(zip(names, row, strict=True)) for row in rows])
    return _arrow(names, rows, len(answer["query"]["dimensions"]), format_)


def parquet(names: list[str], rows: list[list[Any]]) -> bytes:
    """A long table of section, key and metric, with the numbers of each, as Parquet."""
    return _arrow(names, rows, KEYS, "parquet")


def table(answer: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Column names and rows; on the released lane each metric is followed by the ends of its interval."""
    query = answer["query"]
    intervals = query.get("with_intervals", False)
    names = list(query["dimensions"])
    for metric in query["metrics"]:
        names += [metric, f"{metric}_low", f"{metric}_high"] if intervals else [metric]
    rows = []
    for result in answer["results"]:
        row = list(result["dimensions"])
        for index, value in enumerate(result["metrics"]):
            row.append(value["value"] if isinstance(value, dict) else value)
            if intervals:
                row += result["intervals"][index] or [None, None]
        rows.append(row)
    return names, rows


def _csv(names: list[str], rows: list[list[Any]]) -> bytes:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")  # RFC 4180
    writer.writerow(names)
    writer.writerows([[harmless(value) for value in row] for row in rows])
    return output.getvalue().encode()


def _arrow(names: list[str], rows: list[list[Any]], dimensions: int, format_: str) -> bytes:
    try:
        import pyarrow as pa
    except ImportError:
        raise ValueError("Parquet and Arrow need pyarrow: pip install pyarrow") from None
    columns = [[row[index] for row in rows] for index in range(len(names))]
    arrays = [
        pa.array(column, pa.string()) if index < dimensions else pa.array(column, _number(pa, column))
        for index, column in enumerate(columns)
    ]
    made = pa.Table.from_arrays(arrays, names=names)
    sink = pa.BufferOutputStream()
    if format_ == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(made, sink)
    else:
        with pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made)
    raw: bytes = sink.getvalue().to_pybytes()
    return raw


def _number(pa: Any, column: list[Any]) -> Any:
    return pa.float64() if any(isinstance(value, float) for value in column) else pa.int64()
