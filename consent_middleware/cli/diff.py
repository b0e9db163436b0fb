"""`consent diff`: compare two policies; who is asked again, and why."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from consent_middleware.cli.opening import load_policy
from consent_middleware.cli.options import format_option
from consent_middleware.reconsent import compare


@click.command(help="Compare two policies: who is asked again, and why.")
@click.argument("old", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(dir_okay=False, path_type=Path))
@format_option("text", "json")
def diff(old: Path, new: Path, format_: str) -> None:
    difference = compare(load_policy(old), load_policy(new))
    if format_ == "json":
        click.echo(msgspec.json.encode(difference).decode())
        return
    if difference.asked_again:
        click.echo("Everybody who decided under the old policy is asked again, because of")
        for reason in difference.reasons:
            click.echo(f"  {reason}")
    else:
        click.echo("Nobody is asked again.")
    for change in difference.silent:
        click.echo(f"  without asking: {change}")
    for warning in difference.warnings:
        click.echo(f"warning: {warning}")
