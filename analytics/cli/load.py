"""`analytics load`: the spool into the store, once or for ever."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from analytics.cli.common import load_policy, opened, store_option
from consent_middleware.cli.options import data_dir_option, format_option, policy_option


@click.command(help="Load spooled segments into the store, exactly once, and act on visitors' requests.")
@click.option("--retry", is_flag=True, help="Try the rows in the quarantine again.")
@click.option("--watch", type=click.FloatRange(0.1), metavar="SECONDS", help="Load again and again, until stopped.")
@store_option
@policy_option
@data_dir_option
@format_option("text", "json")
def load(
    retry: bool, watch: float | None, store_url: str | None, policy_path: Path, data_dir: Path, format_: str
) -> int | None:
    from analytics.ingest import loader
    from analytics.store import StoreUnavailable

    policy = load_policy(policy_path)
    with opened(store_url, data_dir, policy) as store:
        while True:
            try:
                summary = loader.load_pending(store, data_dir, policy)
                if retry:
                    summary = loader.retry_quarantine(store, data_dir, summary)
            except StoreUnavailable as error:
                click.echo(f"the store is away, nothing is lost: {error}", err=True)
                if watch is None:
                    return 1
                summary = loader.LoadSummary()
            if watch is None or summary.rows or summary.quarantined:
                _show(summary, format_)
            if watch is None:
                return 1 if summary.quarantined else None
            time.sleep(watch)


def _show(summary: msgspec.Struct, format_: str) -> None:
    values = msgspec.structs.asdict(summary)
    if format_ == "json":
        click.echo(msgspec.json.encode(values))
        return
    click.echo(
        f"{values['rows']} rows loaded in {values['batches']} batches, {values['segments_removed']} segments done"
    )
    if values["answered"]:
        click.echo(f"{values['answered']} requests of visitors answered")
    if values["quarantined"]:
        click.echo(f"{values['quarantined']} rows are in the quarantine: see `analytics doctor`, then `load --retry`")
    if values["torn_bytes"]:
        click.echo(f"{values['torn_bytes']} bytes behind the last whole row were cut off")
