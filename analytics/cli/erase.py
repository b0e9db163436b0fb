"""`analytics erase`: a visitor's rows out of store, spool and quarantine, and a look whether they are gone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from analytics.cli.common import load_policy, opened, store_option
from consent_middleware.capture import visitor_key
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError

if TYPE_CHECKING:
    from analytics.store import Store
    from consent_middleware.policy import PrivacyPolicy

ID_LENGTH: Final = 22  # of 128 random bits in the alphabet of URLs
# A worker syncs its newest rows within a second (SpoolLimits.sync_seconds); before that, the loader can't see them.
SYNCED_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 0.25


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

    from analytics import subject

    if not replay and (visitor is None) == (key is None):
        raise UserError("name the visitor: the value of the visitor cookie, or --key NUMBER (or --replay)")
    policy = load_policy(policy_path)
    with opened(store_url, data_dir, policy) as store:
        if replay:
            removed = {"erased_rows": subject.replay_erasures(store, data_dir)}
        else:
            wanted = key if key is not None else visitor_key(visitor or "")
            if not find(store, data_dir, policy, wanted):
                _say_unknown(visitor or str(key), format_)
                return 1
            removed = {"erased_rows": subject.erase(store, data_dir, [wanted]).get(wanted, 0)}
        time.sleep(3)  # the engine takes old parts away a second or two after they were replaced
        left = store.query("SELECT count() FROM events WHERE visitor IN (SELECT visitor FROM erased)")[0][0]
        removed["left"] = int(left)
    if format_ == "json":
        click.echo(msgspec.json.encode(removed))
    else:
        click.echo(f"{removed['erased_rows']} rows erased, {removed['left']} left")
    return 1 if removed["left"] else None


def find(store: Store, data_dir: Path, policy: PrivacyPolicy, visitor: int) -> bool:
    """Load what is in the spool until something of this visitor is here; False when nothing came in SYNCED_SECONDS."""
    from analytics import subject
    from analytics.ingest import loader

    ends = time.monotonic() + SYNCED_SECONDS
    while True:
        last = time.monotonic() >= ends
        loader.load_pending(store, data_dir, policy)
        if subject.is_known(store, data_dir, visitor):
            return True
        if last:
            return False
        time.sleep(LOOK_SECONDS)


def _say_unknown(named: str, format_: str) -> None:
    """Nothing of that visitor is here: most often the id was mistyped or cut while it was copied."""
    import msgspec

    if format_ == "json":
        click.echo(msgspec.json.encode({"known": False, "erased_rows": 0, "left": 0}))
    length = "" if named.isdigit() or len(named) == ID_LENGTH else f"; this one has {len(named)}"
    click.echo(
        f'error: no visitor "{named}" is known here, and nothing was erased. The value of the visitor cookie has '
        f"{ID_LENGTH} letters, digits, - or _{length}. A key (--key) is the number in an export. Who was erased before "
        "is not known any more either.",
        err=True,
    )
