"""A report as tables of a terminal, or in a format that another program reads. Pure: values in, text out."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

TITLES = {
    "visitors": "Visitors",
    "visits": "Visits",
    "pageviews": "Page views",
    "views_per_visit": "Views/visit",
    "bounce_rate": "Bounce rate",
    "visit_duration": "Visit duration",
    "events": "Events",
    "scroll_depth": "Scroll depth",
    "time_on_page": "Time on page",
    "percentage": "%",
    "conversion_rate": "Conversion",
    "group_conversion_rate": "Conversion in group",
    "total_revenue": "Revenue",
    "average_revenue": "Average revenue",
}
BARS = "▁▂▃▄▅▆▇█"


class Section(msgspec.Struct, frozen=True):
    """One table of a report: the answer to one query."""

    id: str
    title: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: list[dict[str, Any]]
    suppressed: int = 0


def sparkline(values: list[float | None]) -> str:
    """One character a value; a gap where nothing may be shown."""
    top = max((value for value in values if value is not None), default=0)
    if not top:
        return "▁" * len(values)
    return "".join(" " if v is None else BARS[min(7, int(v / top * 7.999))] for v in values)


def shown(metric: str, value: Any) -> str:
    """A metric as people read it."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        return str(value["long"])
    if metric in ("bounce_rate", "scroll_depth", "percentage", "conversion_rate", "group_conversion_rate"):
        return f"{value:g} %"
    if metric in ("visit_duration", "time_on_page"):
        minutes, seconds = divmod(int(value), 60)
        return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
    return f"{value:,}"


def part_shown(share: float) -> str:
    """A part of a whole, from 0 to 1, of which neither all nor nothing is said where that is not so."""
    if 0 < share < 0.005:
        return "Less than 1 %"
    return "More than 99 %" if 0.995 <= share < 1 else f"{share * 100:.0f} %"


def row_shown(section: Section, row: dict[str, Any]) -> list[str]:
    """The numbers of a row; those of a sealed release with the bounds of their intervals in brackets."""
    told = []
    for metric, value, bounds in zip(section.metrics, row["metrics"], _bounds_of(row), strict=True):
        between = f" ({shown(metric, bounds[0])} to {shown(metric, bounds[1])})" if bounds else ""
        told.append(shown(metric, value) + between)
    return told


def _bounds_of(row: dict[str, Any]) -> list[Any]:
    return row.get("intervals") or [None] * len(row["metrics"])


def dimension_title(dimension: str) -> str:
    return dimension.rpartition(":")[2].replace("_", " ").capitalize()


def as_table(site: str, period: str, sections: list[Section], notes: list[str], width: int | None = None) -> str:
    """Coloured when standard output is a terminal."""
    parts: list[Any] = [Text(f"{site}", style="bold") + Text(f"   {period}", style="dim"), Text()]
    for section in sections:
        parts += (
            _trend(section)
            if section.id == "trend"
            else _totals(section)
            if not section.dimensions
            else _table(section)
        )
    parts += [Text(note, style="dim") for note in notes]
    output = io.StringIO()
    console = Console(width=width, file=output if width else None)
    if width:
        console.print(Group(*parts))
        return output.getvalue()
    with console.capture() as capture:
        console.print(Group(*parts))
    return capture.get()


def _totals(section: Section) -> list[Any]:
    row = section.rows[0] if section.rows else {"metrics": [None] * len(section.metrics)}
    grid = Table.grid(padding=(0, 3))
    for _ in section.metrics:
        grid.add_column(justify="left")
    grid.add_row(*[Text(TITLES[metric], style="dim") for metric in section.metrics])
    grid.add_row(*[Text(value, style="bold") for value in row_shown(section, row)])
    return [Padding(grid, (0, 0, 1, 2))]


def _trend(section: Section) -> list[Any]:
    values = [row["metrics"][0] for row in section.rows]
    if len(values) < 2:
        return []
    first, last = section.rows[0]["dimensions"][0], section.rows[-1]["dimensions"][0]
    line = Text(f"  {sparkline(values)}", style="cyan")
    return [line, Text(f"  {TITLES[section.metrics[0]].lower()}, {first} to {last}", style="dim"), Text()]


def _table(section: Section) -> list[Any]:
    table = Table(box=SIMPLE_HEAD, title=section.title, title_justify="left", title_style="bold", pad_edge=True)
    for dimension in section.dimensions:
        table.add_column(dimension_title(dimension), overflow="fold", min_width=24)
    for metric in section.metrics:
        table.add_column(TITLES[metric], justify="right")
    for row in section.rows:
        labels = [Text(str(value)) for value in row["dimensions"]]
        table.add_row(*labels, *row_shown(section, row))
    if not section.rows:
        few = (
            "too few visitors to show, or hidden to protect a smaller group"
            if section.suppressed
            else "nothing in this period"
        )
        table.add_row(Text(few, style="dim"))
    return [table]


def as_json(site: str, period: str, sections: list[Section], notes: list[str]) -> str:
    held = [
        {
            "id": section.id,
            "title": section.title,
            "dimensions": section.dimensions,
            "metrics": section.metrics,
            "rows": section.rows,
            "suppressed_rows": section.suppressed,
        }
        for section in sections
    ]
    return json.dumps({"site": site, "period": period, "sections": held, "notes": notes}, indent=2, ensure_ascii=False)


def flat(sections: list[Section]) -> tuple[list[str], list[list[Any]]]:
    """All sections as one long table: section, dimension values, metric, value; of a sealed release its bounds too."""
    rows: list[list[Any]] = []
    noisy = any("intervals" in row for section in sections for row in section.rows)
    for section in sections:
        for row in section.rows:
            key = " / ".join(map(str, row["dimensions"]))
            for metric, value, bounds in zip(section.metrics, row["metrics"], _bounds_of(row), strict=True):
                told = [section.id, key, metric, value["value"] if isinstance(value, dict) else value]
                rows.append(told + list(bounds or (None, None)) if noisy else told)
    return ["section", "key", "metric", "value", *(["low", "high"] if noisy else [])], rows


def as_csv(sections: list[Section]) -> str:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    header, rows = flat(sections)
    writer.writerow(header)
    writer.writerows([[harmless(value) for value in row] for row in rows])
    return output.getvalue()


def harmless(value: Any) -> Any:
    """A spreadsheet runs a text that begins like a formula: a quote in front keeps it a text (OWASP CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def as_markdown(site: str, period: str, sections: list[Section], notes: list[str]) -> str:
    lines = [f"# {_cell(site)}, {period}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        head = [dimension_title(d) for d in section.dimensions] + [TITLES[m] for m in section.metrics]
        lines.append("| " + " | ".join(head) + " |")
        lines.append("|" + " --- |" * len(section.dimensions) + " ---: |" * len(section.metrics))
        for row in section.rows:
            values = row_shown(section, row)
            lines.append("| " + " | ".join(_cell(str(v)) for v in [*row["dimensions"], *values]) + " |")
        lines.append("")
    return "\n".join([*lines, *notes]) + "\n"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
