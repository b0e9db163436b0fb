"""`analytics load`: the spool into the store, once or for ever."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from analytics.cli.common import errands_on, load_policy, store_option
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option


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
    from analytics.errands import Load
    from analytics.ingest.loader import LoadSummary
    from analytics.store import StoreUnavailable

    policy = load_policy(policy_path)
    with errands_on(store_url, data_dir, policy, policy_path) as do:
        while True:
            try:
                summary = do(Load(retry))
            except StoreUnavailable as error:
                click.echo(f"the store is away, nothing is lost: {error}", err=True)
                if watch is None:
                    return 1
                summary = LoadSummary()
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
    if not any(values[name] for name in ("rows", "segments_removed", "answered", "quarantined", "torn_bytes")):
        click.echo("nothing waits to be loaded (what came within the last second can be loaded in the next)")
        return
    done = [
        counted(values["rows"], "row") + f" loaded in {counted(values['batches'], 'batch', 'batches')}",
        counted(values["segments_removed"], "segment") + " done",
    ]
    click.echo(", ".join(done))
    if values["answered"]:
        click.echo(counted(values["answered"], "request of a visitor", "requests of visitors") + " answered")
    if values["quarantined"]:
        rows = counted(values["quarantined"], "row is", "rows are")
        click.echo(f"{rows} in the quarantine: see `analytics doctor`, then `load --retry`")
    if values["torn_bytes"]:
        click.echo(f"cut off behind the last whole row: {counted(values['torn_bytes'], 'byte')}")
