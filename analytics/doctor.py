"""What `analytics doctor` finds: what is held, since when, until when; what waits to be loaded; what is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from analytics import retention
from analytics.ingest import quarantine
from analytics.ingest.progress import Progress
from analytics.ingest.segments import segments
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.providers import ProviderError, asked_of_the_site
from consent_middleware.rights.register import Register
from consent_middleware.rights.upkeep import is_answered

SWITCHES = ("restricted", "objected", "erased")


class Part(msgspec.Struct, frozen=True):
    """The rows of one site and basis; all times in UTC."""

    site: str
    basis: str
    rows: int
    visitors: int
    since: dt.datetime
    until: dt.datetime
    oldest_load: dt.datetime
    kept_until: dt.datetime  # when the oldest row has to go


class Kind(msgspec.Struct, frozen=True):
    """One kind of data, its clock and how far that has come."""

    what: str
    clock: str
    keeps: str
    count: int = 0
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    ends: dt.datetime | None = None
    overdue: bool = False


class Found(msgspec.Struct, frozen=True):
    """Everything that the doctor says; `problems` empty when all is well. `waiting_*`: in the spool and not loaded."""

    held: list[Part]
    bytes_on_disk: int
    bytes_a_row: float
    waiting_rows: int
    waiting_bytes: int
    quarantined: int
    visitors: dict[str, int]
    problems: list[str]
    kinds: list[Kind]
    requests_open: int


def examine(store: Store, data_dir: Path, policy: PrivacyPolicy, hooks: str | None, now: dt.datetime) -> Found:
    """Look at everything once; `hooks` names the site's module with its providers."""
    problems: list[str] = []
    held = _held(store, policy.retention.raw_days, now, problems)
    progress = Progress.read(data_dir / "spool")
    waiting = [
        block
        for segment in segments(data_dir / "spool")
        for block in segment.blocks
        if block.end > progress.loaded.get(segment.name, 0)
    ]
    refused = [entry.reason for path in quarantine.files(data_dir) for entry in quarantine.read(path)]
    if refused:
        rows = "1 row is" if len(refused) == 1 else f"{len(refused)} rows are"
        problems.append(f"{rows} in the quarantine, the first because: {refused[0]}")
    size, rows_held = store.query(
        "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table LIKE 'events%'"
    )[0]
    switches = {name: int(store.query(f"SELECT uniqExact(visitor) FROM {name}")[0][0]) for name in SWITCHES}
    kinds = _kinds(store, data_dir, policy, hooks, now, problems)
    register = Register(data_dir)
    requests = register.all() if register.path.exists() else []
    open_ = [request for request in requests if not request.closed and not is_answered(data_dir, request)]
    problems += [
        f"request {r.number} ({r.right}) was due on {r.due}" for r in open_ if r.state(now.date()) == "overdue"
    ]
    return Found(
        held, int(size), round(size / rows_held, 1) if rows_held else 0, sum(block.rows for block in waiting),
        sum(block.end - block.start for block in waiting), len(refused), switches, problems, kinds, len(open_),
    )  # fmt: skip


def _held(store: Store, raw_days: int, now: dt.datetime, problems: list[str]) -> list[Part]:
    """What is held by site and basis; the same end, and the same patience, as the clock of these rows has."""
    found = []
    for site, basis, rows, visitors, *times in store.query(store.sql("held")):
        since, until, loaded = (time.replace(tzinfo=dt.UTC) for time in times)
        kept_until = (loaded if basis == "imported" else since) + dt.timedelta(days=raw_days)
        found.append(Part(site, basis, int(rows), int(visitors), since, until, loaded, kept_until))
        if kept_until + retention.GRACE < now:
            problems.append(f"{site}: rows of basis {basis} are older than retention.raw_days")
    return found


def _kinds(
    store: Store, data_dir: Path, policy: PrivacyPolicy, named: str | None, now: dt.datetime, problems: list[str]
) -> list[Kind]:
    """Every kind of data with its clock; adds to `problems` what is overdue or can't be found out."""
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
            Kind(clock.what, clock.key, clock.keeps, held.count, held.since, held.until, held.ends, held.overdue)
        )
    return kinds
