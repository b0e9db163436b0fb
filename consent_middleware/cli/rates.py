"""`consent rates`: how often the banner was shown, accepted, refused; by day and language, of nobody in particular."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table

from consent_middleware.cli.opening import opened_ledger
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.ledger.ledger import Count
from consent_middleware.ledger.rates import banner_rates, purpose_rates

BANNER = ("shown", "accept", "save", "reject", "ignored", "again")
PURPOSE = ("yes", "no", "withdrawn")
HEADINGS = ("day", "language", "shown", "accepted", "partly", "refused", "ignored", "changed later")


@click.command(help="How the banner was met, by language and day.")
@policy_option
@data_dir_option
@format_option("text", "json")
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How many days back.")
@click.option("--purposes", is_flag=True, help="By purpose and method instead.")
def rates(policy_path: Path, data_dir: Path, format_: str, days: int, purposes: bool) -> None:
    today = dt.datetime.now(dt.UTC).date()
    with opened_ledger(policy_path, data_dir) as ledger:
        counts = ledger.rates(today - dt.timedelta(days - 1), today)
    listed = _by_purpose(counts) if purposes else _of_banner(counts)
    if format_ == "json":
        click.echo(msgspec.json.encode(listed).decode())
        return
    if not listed:
        click.echo(f"nothing was counted in the last {days} days")
        return
    headings = list(listed[0]) if purposes else [*HEADINGS]
    # Nothing is cut: headings break between words, and what stands below them has one line.
    headings += ["said yes"]
    columns = [Column(name, no_wrap=" " not in name, min_width=max(map(len, name.split()))) for name in headings]
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in listed:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in row.values()), _share(row))
    Console().print(table)
    click.echo(f'"said yes" is the share of answers with a yes to {"it" if purposes else "at least one purpose"}.')
    if not purposes:
        click.echo(f'"refused" counts every no to all, also one that takes a yes back{_taken_back(counts)}.')


def _of_banner(counts: list[Count]) -> list[dict[str, str | int]]:
    return [
        {"day": rate.day, "language": rate.language, **{column: getattr(rate, column) for column in BANNER}}
        for rate in banner_rates(counts)
    ]


def _taken_back(counts: list[Count]) -> str:
    """How many answers took a yes back, purpose by purpose."""
    taken = [rate for rate in purpose_rates(counts) if rate.withdrawn]
    return "; taken back: " + ", ".join(f"{rate.purpose} {rate.withdrawn:,}" for rate in taken) if taken else ""


def _by_purpose(counts: list[Count]) -> list[dict[str, str | int]]:
    rows: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for count in counts:
        parts = tuple(count.what.split(" "))
        if len(parts) == 3:
            answer, purpose, method = parts
            rows[count.day, count.language, purpose, method][answer] = count.n
    keys = ("day", "language", "purpose", "method")
    return [
        {**dict(zip(keys, key, strict=True)), **{column: row.get(column, 0) for column in PURPOSE}}
        for key, row in sorted(rows.items())
    ]


def _share(row: dict[str, str | int]) -> str:
    """Answers with a yes to at least one purpose, of all answers."""
    count = {name: value for name, value in row.items() if isinstance(value, int)}
    yes = count.get("yes", 0) + count.get("accept", 0) + count.get("save", 0)
    chosen = yes + count.get("no", 0) + count.get("reject", 0)
    return f"{yes / chosen:.0%}" if chosen else ""
