"""`analytics doctor`: what is held, since when, until when; what waits, what is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from analytics.cli.common import load_policy, opened, store_option
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.policy import PrivacyPolicy


@click.command(help="What is held, since when, until when; what waits to be loaded; what is wrong.")
@click.option(
    "--hooks",
    envvar="CONSENT_HOOKS",
    show_default="$CONSENT_HOOKS, or hooks in [site] of the policy file",
    help="The site's module with its @rights.provider classes, for the site's own tables.",
)
@store_option
@policy_option
@data_dir_option
@format_option("text", "json")
def doctor(hooks: str | None, store_url: str | None, policy_path: Path, data_dir: Path, format_: str) -> int | None:
    import msgspec

    policy = load_policy(policy_path)
    with opened(store_url, data_dir, policy) as store:
        found = examine(store, data_dir, policy.retention.raw_days)
        found |= _clocks(store, data_dir, policy, hooks, found["problems"])
    if format_ == "json":
        click.echo(msgspec.json.encode(found))
    else:
        _print(found)
    return 1 if found["problems"] else None


def _clocks(
    store: Any, data_dir: Path, policy: PrivacyPolicy, named: str | None, problems: list[str]
) -> dict[str, Any]:
    """Every kind of data with its clock, and every request that waits; adds to `problems` what is overdue."""
    from analytics import retention
    from consent_middleware.rights.providers import ProviderError, asked_of_the_site
    from consent_middleware.rights.register import Register

    now = dt.datetime.now(dt.UTC)
    try:
        if not asked_of_the_site(policy, named) and policy.data:
            problems.append("the site's own tables were not looked at: name its module by --hooks, or in [site] hooks")
    except ProviderError as error:
        problems.append(str(error))
    kinds = []
    for clock, held in retention.survey(retention.Place(store, data_dir, policy, now)):
        if isinstance(held, str):
            problems.append(f"{clock.what}: {held}")
            held = retention.Held()
        elif held.overdue:
            problems.append(f"{clock.what}: kept past {held.ends:%Y-%m-%d} ({clock.key}: {clock.keeps})")
        kinds.append(
            {"what": clock.what, "clock": clock.key, "keeps": clock.keeps, "count": held.count, "since": held.since,
             "until": held.until, "ends": held.ends, "overdue": held.overdue}
        )  # fmt: skip
    register = Register(data_dir)
    waiting = [r for r in register.all() if not r.closed] if register.path.exists() else []
    problems += [
        f"request {r.number} ({r.right}) was due on {r.due}" for r in waiting if r.state(now.date()) == "overdue"
    ]
    return {"kinds": kinds, "requests_open": len(waiting)}


def examine(store: Any, data_dir: Path, raw_days: int) -> dict[str, Any]:
    """Everything doctor says, as one value."""
    from analytics.ingest import quarantine
    from analytics.ingest.progress import Progress
    from analytics.ingest.segments import segments

    held = [
        dict(zip(("site", "basis", "rows", "visitors", "since", "until", "oldest_load"), row, strict=True))
        for row in store.query(store.sql("held"))
    ]
    days = dt.timedelta(days=raw_days + 1)
    problems = []
    for part in held:
        counted_from = part["oldest_load"] if part["basis"] == "imported" else part["since"]
        part["kept_until"] = counted_from + days
        if counted_from.replace(tzinfo=dt.UTC) < dt.datetime.now(dt.UTC) - days:
            problems.append(f"{part['site']}: rows of basis {part['basis']} are older than retention.raw_days")
    progress = Progress.read(data_dir / "spool")
    waiting = sum(s.end - progress.loaded.get(s.name, 0) for s in segments(data_dir / "spool"))
    refused = [entry.reason for path in quarantine.files(data_dir) for entry in quarantine.read(path)]
    if refused:
        problems.append(f"{len(refused)} rows are in the quarantine, the first because: {refused[0]}")
    size = store.query("SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table LIKE 'events%'")
    switches = {
        name: int(store.query(f"SELECT uniqExact(visitor) FROM {name}")[0][0])
        for name in ("restricted", "objected", "erased")
    }
    return {
        "held": held,
        "bytes_on_disk": int(size[0][0]),
        "bytes_a_row": round(size[0][0] / size[0][1], 1) if size[0][1] else 0,
        "waiting_bytes": waiting,
        "quarantined": len(refused),
        "visitors": switches,
        "problems": problems,
    }


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(soft_wrap=True)
    if found["held"]:
        table = Table(
            *(Column(name, overflow="fold") for name in ("site", "basis", "rows", "visitors")),
            *(Column(name, min_width=10) for name in ("since", "until", "kept until")),
            title="Held", box=None, pad_edge=False,
        )  # fmt: skip
        for part in found["held"]:
            times = [part[name].strftime("%Y-%m-%d %H:%M") for name in ("since", "until", "kept_until")]
            table.add_row(part["site"], part["basis"], f"{part['rows']:,}", f"{part['visitors']:,}", *times)
        console.print(table)
    else:
        console.print("No visits are held.")
    headings = ("what", "how many", "since", "kept", "the oldest ends")
    clocks = Table(*(Column(name, overflow="fold") for name in headings), title="Every kind and its clock")
    for kind in found["kinds"]:
        since, ends = (f"{kind[name]:%Y-%m-%d}" if kind[name] else "" for name in ("since", "ends"))
        ends = f"[red]{ends} overdue[/red]" if kind["overdue"] else ends
        clocks.add_row(kind["what"], f"{kind['count']:,}" if kind["count"] else "", since, kind["keeps"], ends)
    console.print(clocks)
    console.print(f"Requests about rights that are open: {found['requests_open']}")
    console.print(f"On disk: {found['bytes_on_disk']:,} bytes, {found['bytes_a_row']} a row")
    console.print(f"Waiting in the spool: {found['waiting_bytes']:,} bytes")
    for name, count in found["visitors"].items():
        if count:
            console.print(f"Visitors {name}: {count}")
    for problem in found["problems"]:
        console.print(f"[red]problem[/red]: {problem}")
    if not found["problems"]:
        console.print("No problem found.")
