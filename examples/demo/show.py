"""What the demo prints: one table per link of the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from examples.demo.story import OWN, Step


def heading(console: Console, number: int, title: str) -> None:
    console.print(f"\n[bold]{number}. {title}[/bold]")


def table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()
) -> None:
    shown = Table(header_style="bold", title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)


def lifetime(days: float | None) -> str:
    if days is None:
        return "session"
    return f"{days / 30.44:.0f} months" if days > 60 else f"{days:.0f} days"


def cookies(console: Console, steps: Sequence[Step], purposes: dict[str, str]) -> None:
    """One line per cookie or storage key, one column per step: issued (with its lifetime), or held back."""
    names = sorted({cookie.name for step in steps for cookie in step.cookies})
    keys = sorted({key for step in steps for key in step.storage})
    rows: list[list[str]] = []
    for name in names:
        held = [next((lifetime(c.days) for c in step.cookies if c.name == name), "[dim]-[/dim]") for step in steps]
        rows.append([name, purposes.get(name, "ours" if name in OWN else "[red]undeclared[/red]"), *held])
    for key in keys:
        held = ["stored" if key in step.storage else "[dim]-[/dim]" for step in steps]
        rows.append([f"{key} (localStorage)", purposes.get(key, "undeclared"), *held])
    table(console, ["cookie", "purpose", *(step.title for step in steps)], rows)
