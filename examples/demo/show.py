"""What the demo prints: one table per link of the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from examples.demo.story import OWN, Step


def heading(console: Console, number: int, title: str) -> None:
    console.print(f"\n[bold]{number}. {title}[/bold]")


def table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()
) -> None:
    shown = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)


def lifetime(days: float | None) -> str:
    if days is None:
        return "session"
    return f"{days / 30.44:.0f} months" if days > 60 else f"{days:.0f} days"


def cookies(console: Console, steps: Sequence[Step], purposes: dict[str, str], site: str) -> None:
    """One line per cookie or storage key, one column per step: issued (with its lifetime), or held back."""
    names = sorted({(cookie.host, cookie.name) for step in steps for cookie in step.cookies}, key=lambda c: c[::-1])
    keys = sorted({key for step in steps for key in step.storage})
    rows: list[list[str]] = []
    for host, name in names:
        held = [
            next((lifetime(c.days) for c in step.cookies if (c.host, c.name) == (host, name)), "-") for step in steps
        ]
        shown = name if host == site else f"{name} ({host})"
        rows.append([shown, purposes.get(name, "our own" if name in OWN else "[red]undeclared[/red]"), *held])
    for key in keys:
        held = ["stored" if key in step.storage else "-" for step in steps]
        rows.append([f"{key} (localStorage)", purposes.get(key, "undeclared"), *held])
    asked = [str(step.third_party_requests) for step in steps]
    rows.append(["requests to the third party", "", *asked])
    table(console, ["cookie", "purpose", *(step.title for step in steps)], rows)
