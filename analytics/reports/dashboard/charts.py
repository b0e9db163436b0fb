"""Charts as SVG made on the server: they need no script, print well, and carry their numbers in a table beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from analytics.reports.terminal import Section

WIDTH, HEIGHT = 1000.0, 220.0
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
Number = float | int | None


class Trend(msgspec.Struct, frozen=True):
    """Paths in a box of 1000 by 220; a gap stands where a number may not be shown."""

    line: str
    area: str
    before: str
    whiskers: tuple[tuple[float, float, float], ...]  # x, y of the low end, y of the high end
    dots: tuple[tuple[float, float], ...]
    notes: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]  # percent from the top, label
    labels: tuple[str, ...]
    gaps: int


def nice_top(value: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below `value`."""
    if value <= 0:
        return 1
    size = 10.0 ** len(str(int(value))) / 10
    return next(step * size for step in (1, 2, 2.5, 5, 10, 20) if step * size >= value)


def trend(
    labels: Sequence[str],
    values: Sequence[Number],
    before: Sequence[Number] = (),
    intervals: Sequence[tuple[Number, Number] | None] = (),
    notes: Sequence[tuple[int, str]] = (),
) -> Trend:
    """`notes` are (index of the label, text)."""
    highs = [interval[1] for interval in intervals if interval]
    top = nice_top(max([float(v) for v in [*values, *before, *highs] if v is not None], default=0))
    step = WIDTH / max(1, len(values) - 1)

    def x(index: int) -> float:
        return round(index * step if len(values) > 1 else WIDTH / 2, 1)

    def y(value: float) -> float:
        return round(HEIGHT - value / top * HEIGHT, 1)

    points = [None if value is None else (x(n), y(float(value))) for n, value in enumerate(values)]
    older = [None if value is None else (x(n), y(float(value))) for n, value in enumerate(before[: len(values)])]
    whiskers = tuple(
        (x(n), y(float(interval[0])), y(float(interval[1])))
        for n, interval in enumerate(intervals)
        if interval and interval[0] is not None and interval[1] is not None
    )
    few = len(values) <= 45
    return Trend(
        line=_path(points),
        area=_area(points),
        before=_path(older),
        whiskers=whiskers,
        dots=tuple(point for n, point in enumerate(points) if point and (few or _alone(points, n))),
        notes=tuple((x(n), text) for n, text in notes),
        ticks=tuple((round(100 - part * 100, 1), short(top * part)) for part in (1, 0.5, 0)),
        labels=_axis(labels),
        gaps=sum(point is None for point in points),
    )


def _alone(points: Sequence[tuple[float, float] | None], index: int) -> bool:
    """A point with a gap on both sides: a line would not show it."""
    left = points[index - 1] if index else None
    right = points[index + 1] if index + 1 < len(points) else None
    return left is None and right is None


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    return " ".join("M" + " L".join(f"{x},{y}" for x, y in run) for run in _runs(points))


def _area(points: Sequence[tuple[float, float] | None]) -> str:
    return " ".join(
        f"M{run[0][0]},{HEIGHT} L" + " L".join(f"{x},{y}" for x, y in run) + f" L{run[-1][0]},{HEIGHT} Z"
        for run in _runs(points)
        if len(run) > 1
    )


def _axis(labels: Sequence[str]) -> tuple[str, ...]:
    """At most five labels, evenly spread, first and last among them."""
    if len(labels) <= 5:
        return tuple(labels)
    return tuple(labels[round(n * (len(labels) - 1) / 4)] for n in range(5))


def axis_labels(labels: Sequence[str]) -> list[str]:
    """Labels of buckets as an axis shows them: `25 Oct`, `15:00`, and with the day where hours span several."""
    days = {label[:10] for label in labels}
    shown = []
    for label in labels:
        day = f"{int(label[8:10])} {MONTHS[int(label[5:7]) - 1]}"
        clock = label[11:16]
        shown.append(clock if clock and len(days) == 1 else f"{day} {clock}".strip())
    return shown


def sections_svg(site: str, period: str, sections: Sequence[Section]) -> str:
    """A report as one picture: horizontal bars of each section's first metric."""
    parts, y = [], 54
    for section in sections:
        rows = [row for row in section.rows if row["dimensions"] and isinstance(row["metrics"][0], int | float)]
        if not rows or section.id == "trend":
            continue
        parts.append(f'<text x="20" y="{y}" font-weight="bold">{escape(section.title)}</text>')
        y += 12
        top = max(float(row["metrics"][0]) for row in rows) or 1.0
        for row in rows:
            width = round(float(row["metrics"][0]) / top * 560, 1)
            text = escape(" / ".join(str(value) for value in row["dimensions"]))
            parts.append(f'<rect x="20" y="{y}" width="{width}" height="22" rx="4" fill="#e3e7fb"/>')
            parts.append(f'<text x="28" y="{y + 16}">{text}</text>')
            parts.append(f'<text x="700" y="{y + 16}" text-anchor="end">{row["metrics"][0]:,}</text>')
            y += 26
        y += 28
    head = f'<text x="20" y="28" font-size="18" font-weight="bold">{escape(site)}, {escape(period)}</text>'
    open_tag = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{y}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([open_tag, f'<rect width="720" height="{y}" fill="#fff"/>', head, *parts, "</svg>"])


def short(value: float) -> str:
    """1234 as 1.2k."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}".rstrip("0").rstrip(".") + unit
    return f"{value:g}"
