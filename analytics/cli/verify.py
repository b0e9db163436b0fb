"""`analytics verify`: check sealed releases without the store: file, signature, chain, budget."""

from __future__ import annotations

import json
from pathlib import Path

import click

from analytics.anonymise import sealed
from analytics.anonymise.signing import is_public_key
from consent_middleware.cli.options import counted, data_dir_option, format_option
from consent_middleware.lazy import UserError


@click.command(help="Check sealed releases: every file's hash, signature, chain, and the budget of every day.")
@click.option(
    "--releases", "releases_dir", type=click.Path(file_okay=False, path_type=Path), help="Default: DATA_DIR/releases."
)
@click.option(
    "--key", "keys", multiple=True, help="A public key (base64) to trust; default: the key of the first release."
)
@data_dir_option
@format_option("text", "json")
def verify(releases_dir: Path | None, keys: tuple[str, ...], data_dir: Path, format_: str) -> int:
    for key in keys:
        if not is_public_key(key):
            raise UserError(f'--key "{key}": not a key (32 bytes in base64, as a manifest holds it under "key")')
    folder = releases_dir or data_dir / "releases"
    if releases_dir is not None and not releases_dir.is_dir():
        raise UserError(f"{releases_dir}: no such folder")
    if releases_dir is None and not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such data folder; name the site's own: --data-dir or $CONSENT_DATA_DIR")
    problems = sealed.verify(folder, keys)
    count = len(list(folder.glob("*/*.json")))
    if format_ == "json":
        click.echo(json.dumps({"releases": count, "problems": problems}))
    else:
        for problem in problems:
            click.echo(problem)
        releases = counted(count, "release")
        if problems:
            click.echo(f"{releases}, {counted(len(problems), 'problem')}")
        else:
            click.echo(f"{releases}: all as sealed" if count else f"{folder}: nothing was sealed yet")
    return 1 if problems else 0
