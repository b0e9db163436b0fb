"""`analytics token`: create, list and revoke access tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import click

from analytics.reports.access import LINK, Access, Role
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError


@click.group(help="Create, list and revoke access tokens.")
def token() -> None: ...


@token.command(help="Make a token; it is printed once and stored hashed.")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["analyst", "operator", "auditor"]),
    default="analyst",
    show_default=True,
    help="analyst: exact reports; auditor: the query log and what the gate saw, no exact report; operator: all.",
)
@click.option("--site", "sites", multiple=True, help="Only this site (repeatable); default: every site.")
@click.option("--days", default=0, type=click.IntRange(0, 3650), help="Expires after so many days; 0: never.")
@click.option("--email", default="", help="Where reports of the internal lane may be sent.")
@policy_option
@data_dir_option
def create(
    name: str, role: str, sites: tuple[str, ...], days: int, email: str, policy_path: Path, data_dir: Path
) -> None:
    _check(sites, policy_path, data_dir)
    click.echo(Access(data_dir).create(name, cast(Role, role), sites, days, email))


@token.command(help="Make a shared, read-only link to the released lane of one site; it is printed once.")
@click.argument("name")
@click.option("--site", required=True, help="The site.")
@click.option("--url", default="http://127.0.0.1:8765", show_default=True, help="Where the dashboard is reached.")
@click.option("--days", default=0, type=click.IntRange(0, 3650), help="Expires after so many days; 0: never.")
@policy_option
@data_dir_option
def link(name: str, site: str, url: str, days: int, policy_path: Path, data_dir: Path) -> None:
    _check((site,), policy_path, data_dir)
    click.echo(f"{url.rstrip('/')}/s/{Access(data_dir).create(name, LINK, (site,), days)}")


def _check(sites: tuple[str, ...], policy_path: Path, data_dir: Path) -> None:
    """A token for a mistyped site would open nothing, and nobody would see why. Raises UserError."""
    if sites:
        from analytics.cli.serve import policy_or_none
        from analytics.sites import check

        check(sites, data_dir, policy_or_none(policy_path))


@token.command("list", help="Show the tokens and links; never the secrets.")
@click.option("--all", "everything", is_flag=True, help="Revoked and expired ones too.")
@format_option("table", "json")
@data_dir_option
def list_(everything: bool, format_: str, data_dir: Path) -> None:
    grants = [grant for grant in Access(data_dir).book.grants if everything or grant.active]
    rows = [
        {
            "id": grant.id,
            "name": grant.name,
            "role": grant.role,
            "sites": ", ".join(grant.sites) or "all",
            "created": grant.created[:10],
            "state": "active" if grant.active else "revoked" if grant.revoked else "expired",
        }
        for grant in grants
    ]
    if format_ == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("id", "name", "role", "sites", "created", "state"):
        table.add_column(head)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


@token.command(help="Revoke a token or link by its id; it stops working at once.")
@click.argument("id_", metavar="ID")
@data_dir_option
def revoke(id_: str, data_dir: Path) -> None:
    try:
        grant = Access(data_dir).revoke(id_)
    except KeyError:
        raise UserError(f'there is no active token with the id "{id_}"; `analytics token list` shows them') from None
    click.echo(f"revoked {grant.role} {grant.name}")
