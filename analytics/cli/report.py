"""`analytics report`: aggregated tables in the terminal, or in a format for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError

SECTIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "overview": (
        "Overview",
        (),
        ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"),
    ),
    "trend": ("Trend", ("time",), ("pageviews", "visitors")),
    "pages": ("Top pages", ("event:page",), ("pageviews", "visitors")),
    "sources": ("Sources", ("visit:source",), ("visitors", "visits")),
    "countries": ("Countries", ("visit:country_name",), ("visitors", "pageviews")),
    "devices": ("Devices", ("visit:device",), ("visitors", "pageviews")),
    "browsers": ("Browsers", ("visit:browser",), ("visitors", "pageviews")),
}


@click.command(help="Print an aggregated report: all sections, or those that are named.")
@click.argument("sections", nargs=-1, type=click.Choice([*SECTIONS]))
@click.option("--site", default="", help="The site; default: the busiest one.")
@click.option("--period", "-p", default="all", show_default=True, help="day, 7d, 30d, month, 12mo, all, or FROM..TO.")
@click.option("--metric", "-m", "metrics", multiple=True, help="A table of your own: what to count (repeatable).")
@click.option("--by", "-b", "dimensions", multiple=True, help="A table of your own: what to group by (repeatable).")
@click.option(
    "--where", "-w", "filters", multiple=True, metavar="'DIMENSION is VALUE'", help="Only these (repeatable)."
)
@click.option("--limit", "-n", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Rows of a table.")
@click.option("--timezone", "zone", default="UTC", show_default=True, help="The clock that days are read on.")
@format_option("table", "json", "csv", "markdown")
@policy_option
@data_dir_option
def report(
    sections: tuple[str, ...],
    site: str,
    period: str,
    metrics: tuple[str, ...],
    dimensions: tuple[str, ...],
    filters: tuple[str, ...],
    limit: int,
    zone: str,
    format_: str,
    policy_path: Path,
    data_dir: Path,
) -> None:
    from analytics.cli.serve import policy_or_none
    from analytics.reports import terminal
    from analytics.reports.asking import asker

    policy = policy_or_none(policy_path)
    date_range: Any = period.split("..") if ".." in period else period
    common = {"date_range": date_range, "filters": [_filter(text) for text in filters]}
    with asker(data_dir.absolute(), policy, zone) as ask:
        about = ask.about()
        if not about["sites"]:
            raise UserError("nothing is stored yet; `analytics import LOG` or `analytics serve` fills the store")
        site = site or about["sites"][0]
        wanted = (
            {"table": ("Table", dimensions, metrics or ("visitors",))}
            if metrics or dimensions
            else {name: SECTIONS[name] for name in sections or SECTIONS}
        )
        found, meta, period_shown = [], {}, period
        for name, (title, by, counted) in wanted.items():
            rows = 10_000 if name == "trend" else limit
            query = {**common, "site_id": site, "metrics": counted, "dimensions": by, "pagination": {"limit": rows}}
            answer = ask.ask(query)
            meta = answer["meta"]
            period_shown = " to ".join(instant[:10] for instant in answer["query"]["date_range"])
            found.append(terminal.Section(name, title, by, counted, answer["results"], meta["suppressed_rows"]))
    notes = _notes(meta, found)
    printed = {
        "table": lambda: terminal.as_table(site, period_shown, found, notes),
        "json": lambda: terminal.as_json(site, period_shown, found, notes) + "\n",
        "csv": lambda: terminal.as_csv(found),
        "markdown": lambda: terminal.as_markdown(site, period_shown, found, notes),
    }[format_]()
    click.echo(printed, nl=False)


def _filter(text: str) -> list[Any]:
    parts = text.split(maxsplit=2)
    if len(parts) != 3:
        raise UserError(f'--where "{text}": write DIMENSION OPERATOR VALUE, as in "visit:country is DE"')
    return [parts[1], parts[0], parts[2].split("|")]


def _notes(meta: dict[str, Any], found: list[Any]) -> list[str]:
    notes = []
    hidden = sum(section.suppressed for section in found)
    if hidden:
        minimum = meta["minimum_cell"]
        notes.append(f"{hidden} rows that rest on fewer than {minimum} visitors are not shown.")
    share = meta.get("share_without_key")
    if share:
        notes.append(f"{share:.0%} of the rows carry no visitor key: they count as page views, never as visitors.")
    return notes
