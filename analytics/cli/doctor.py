"""`analytics doctor`: what is held, since when, until when; what waits, what is wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analytics.cli.common import errands_on, load_policy, store_option
from consent_middleware.cli.options import data_dir_option, format_option, policy_option

if TYPE_CHECKING:
    from analytics.doctor import Found


@click.command(help="What is held, since when, until when; what waits to be loaded; what is wrong.")
@click.option(
    "--hooks",
    envvar="CONSENT_HOOKS",
    show_default="$CONSENT_HOOKS, or hooks in [site] of the policy file",
    help="The site's module with its @rights.provider classes, for the site's own tables.",
)
@store_option
@policy_option
@data_dir_option
@format_option("text", "json")
def doctor(hooks: str | None, store_url: str | None, policy_path: Path, data_dir: Path, format_: str) -> int | None:
    import msgspec

    from analytics.errands import Examine

    policy = load_policy(policy_path)
    with errands_on(store_url, data_dir, policy, policy_path) as do:
        found = do(Examine(hooks))
    if format_ == "json":
        click.echo(msgspec.json.encode(found))
    else:
        _print(found)
    return 1 if found.problems else None


def _print(found: Found) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(soft_wrap=True)
    plain = partial(Table, box=None, pad_edge=False, header_style="dim", title_justify="left")
    if found.held:
        table = plain(
            Column("site", overflow="fold"), Column("basis", no_wrap=True),
            *(Column(name, justify="right", no_wrap=True) for name in ("rows", "visitors")),
            *(Column(name, no_wrap=True) for name in ("since", "until", "kept until")),
            title="Held (days in UTC)",
        )  # fmt: skip
        for part in found.held:
            days = [f"{time:%Y-%m-%d}" for time in (part.since, part.until, part.kept_until)]
            table.add_row(part.site, part.basis, f"{part.rows:,}", f"{part.visitors:,}", *days)
        console.print(table)
        console.print(f"The newest row is of {max(part.until for part in found.held):%Y-%m-%d %H:%M} UTC.\n")
    else:
        console.print("No visits are held.\n")
    clocks = plain(
        Column("what", overflow="fold"), Column("number", justify="right", no_wrap=True),
        Column("since", no_wrap=True), Column("kept", overflow="fold"), Column("oldest ends", no_wrap=True),
        title="Every kind and its clock (days in UTC)",
    )  # fmt: skip
    for kind in found.kinds:
        since, ends = (f"{time:%Y-%m-%d}" if time else "" for time in (kind.since, kind.ends))
        ends = f"[red]{ends}\noverdue[/red]" if kind.overdue else ends
        clocks.add_row(kind.what, f"{kind.count:,}" if kind.count else "", since, kind.keeps, ends)
    console.print(clocks)
    console.print(f"\nRequests about rights that are open: {found.requests_open}")
    console.print(f"On disk: {found.bytes_on_disk:,} bytes, {found.bytes_a_row} a row")
    console.print(f"Of the rows in the spool, not loaded yet: {found.waiting_rows:,} ({found.waiting_bytes:,} bytes)")
    for name, count in found.visitors.items():
        if count:
            console.print(f"Visitors {name}: {count}")
    for problem in found.problems:
        console.print(f"[red]problem[/red]: {problem}")
    if not found.problems:
        console.print("No problem found.")
