"""`analytics erase`: a visitor's rows out of store, spool and quarantine, and a look whether they are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from analytics.cli.common import errands_on, load_policy, store_option
from consent_middleware.capture import visitor_key
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError

ID_LENGTH: Final = 22  # of 128 random bits in the alphabet of URLs


@click.command(help="Erase the rows of a visitor, named by the value of the visitor cookie or by its key.")
@click.argument("visitor", required=False)
@click.option("--key", type=click.IntRange(1, 2**64 - 1), help="The visitor's key as an export shows it.")
@click.option("--replay", is_flag=True, help="After a restore: erase again whoever was erased since the backup.")
@store_option
@policy_option
@data_dir_option
@format_option("text", "json")
def erase(
    visitor: str | None,
    key: int | None,
    replay: bool,
    store_url: str | None,
    policy_path: Path,
    data_dir: Path,
    format_: str,
) -> int | None:
    import msgspec

    from analytics.errands import Erase

    if not replay and (visitor is None) == (key is None):
        raise UserError("name the visitor: the value of the visitor cookie, or --key NUMBER (or --replay)")
    policy = load_policy(policy_path)
    wanted = None if replay else key if key is not None else visitor_key(visitor or "")
    with errands_on(store_url, data_dir, policy, policy_path) as do:
        found = do(Erase(wanted))
    if format_ == "json":
        click.echo(msgspec.json.encode(found))
    if not found.known:
        _say_unknown(visitor or str(key))
        return 1
    if format_ == "text":
        click.echo(f"{counted(found.erased_rows, 'row')} erased, {found.left} left")
    return 1 if found.left else None


def _say_unknown(named: str) -> None:
    """Nothing of that visitor is here: most often the id was mistyped or cut while it was copied."""
    length = "" if named.isdigit() or len(named) == ID_LENGTH else f"; this one has {len(named)}"
    click.echo(
        f'error: no visitor "{named}" is known here, and nothing was erased. The value of the visitor cookie has '
        f"{ID_LENGTH} letters, digits, - or _{length}. A key (--key) is the number in an export. Who was erased before "
        "is not known any more either.",
        err=True,
    )
