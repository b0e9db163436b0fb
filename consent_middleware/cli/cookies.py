"""`consent cookies import`: descriptions of known cookies from the Open Cookie Database, as entries of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.cookie_database import BadDatabase, KnownCookie, look_up, read_database
from consent_middleware.inventory import COOKIE, is_declared, read_inventory
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy
from consent_middleware.toml_writing import Value, toml_table


@click.group(help="Import cookie descriptions.")
def cookies() -> None: ...


@cookies.command("import")
@click.argument("csv_file", metavar="CSV", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@policy_option
@data_dir_option
@click.option("--append", is_flag=True, help="Append the entries of cookies that the file does not declare yet.")
@format_option("toml", "json")
def import_(csv_file: Path, names: Sequence[str], policy_path: Path, data_dir: Path, append: bool, format_: str) -> int:
    """Look cookies up in the Open Cookie Database and print entries for the policy file.

    CSV is the file that you downloaded (open-cookie-database.csv, Apache-2.0). Looked up are NAMES, or else the
    declared cookies that lack a description and the undeclared ones in the inventory. Exit 1 when nothing is known.
    """
    try:
        database = read_database(csv_file.read_bytes())
    except OSError as error:
        raise UserError(f"{csv_file}: can't be read: {error.strerror or error}") from None
    except BadDatabase as error:
        raise UserError(f"{csv_file}: not the Open Cookie Database: {error}") from None
    try:
        policy = PrivacyPolicy.load(policy_path) if policy_path.exists() or not names else None
    except PolicyError as error:
        raise UserError(str(error)) from None
    if append and policy is None:
        raise UserError(f"{policy_path}: no such file to append to")
    wanted = list(dict.fromkeys(names or (_wanted(policy, data_dir) if policy else ())))
    found = {name: known for name in wanted if (known := look_up(database, name)) is not None}
    new = {name: known for name, known in found.items() if policy is None or not is_declared(policy, name, "http")}
    if append and policy is not None:
        _append(policy_path, policy, new)
    if format_ == "json":
        click.echo(msgspec.json.format(msgspec.json.encode({name: _values(name, k) for name, k in found.items()})))
    else:
        for name, known in found.items():
            click.echo(_entry(name, known, declared=name not in new))
    for name in wanted:
        if name not in found:
            click.echo(f"{name}: not in the database", err=True)
    if not wanted:
        click.echo("every declared cookie has a description, and no other was seen", err=True)
    return 1 if wanted and not found else 0


def _wanted(policy: PrivacyPolicy, data_dir: Path) -> list[str]:
    undescribed = [cookie.name for cookie in policy.cookies if cookie.kind == "http" and not cookie.description]
    return undescribed + [entry.name for entry in read_inventory(data_dir) if entry.kind == COOKIE]


def _values(name: str, known: KnownCookie) -> dict[str, Value]:
    return {
        "name": name if "*" not in known.pattern else known.pattern,
        "purpose": known.purpose,
        "provider": known.provider,
        "description": known.description,
        "lifetime": known.lifetime or "session",
    }


def _entry(name: str, known: KnownCookie, *, declared: bool) -> str:
    note = "declared already: take what is missing" if declared else ""
    return toml_table("cookie", _values(name, known), f"{name}: {known.category}. {note}".strip())


def _append(path: Path, policy: PrivacyPolicy, new: dict[str, KnownCookie]) -> None:
    """Add entries at the end of the file; the result has to load before it replaces the old one."""
    purposes = {purpose.id for purpose in policy.purposes}
    text = policy.source.rstrip("\n") + "\n"
    for name, known in new.items():
        if known.purpose not in purposes:
            raise UserError(
                f'{name}: the database says "{known.category}", and the file has no purpose "{known.purpose}"; add one'
            )
        text += "\n" + _entry(name, known, declared=False)
    try:
        PrivacyPolicy.parse(text, name=str(path))
    except PolicyError as error:
        raise UserError(f"{error} (nothing was changed)") from None
    path.write_text(text, encoding="utf-8")
