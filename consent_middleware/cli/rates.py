"""`consent rates`: how often the banner was shown, accepted, refused; by day and language, of nobody in particular."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from consent_middleware.cli.opening import opened_ledger
from consent_middleware.cli.options import data_dir_option, format_option, policy_option

COLUMNS = ("shown", "accept", "save", "reject")


@click.command(help="Acceptance rates, by language and day.")
@policy_option
@data_dir_option
@format_option("text", "json")
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How many days back.")
@click.option("--purposes", is_flag=True, help="By purpose and method instead.")
def rates(policy_path: Path, data_dir: Path, format_: str, days: int, purposes: bool) -> None:
    today = dt.datetime.now(dt.UTC).date()
    with opened_ledger(policy_path, data_dir) as ledger:
        counts = ledger.rates(today - dt.timedelta(days - 1), today)
    rows: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for count in counts:
        parts = tuple(count.what.split(" "))
        if purposes and len(parts) == 3:
            answer, purpose, method = parts
            rows[count.day, count.language, purpose, method][answer] = count.n
        elif not purposes and count.what in COLUMNS:
            rows[count.day, count.language][count.what] = count.n
    keys = ("day", "language", "purpose", "method") if purposes else ("day", "language")
    columns = ("yes", "no", "withdrawn") if purposes else COLUMNS
    if format_ == "json":
        listed = [
            {**dict(zip(keys, key, strict=True)), **{column: row.get(column, 0) for column in columns}}
            for key, row in sorted(rows.items())
        ]
        click.echo(msgspec.json.encode(listed).decode())
        return
    if not rows:
        click.echo(f"nothing was counted in the last {days} days")
        return
    table = Table(*keys, *columns, "yes, of those who chose")
    for key, row in sorted(rows.items()):
        table.add_row(*key, *(f"{row.get(column, 0):,}" for column in columns), _share(row, purposes))
    Console().print(table)


def _share(row: dict[str, int], purposes: bool) -> str:
    """Answers with a yes to at least one purpose, of all answers."""
    yes = row.get("yes", 0) if purposes else row.get("accept", 0) + row.get("save", 0)
    chosen = yes + row.get("no" if purposes else "reject", 0)
    return f"{yes / chosen:.0%}" if chosen else ""
