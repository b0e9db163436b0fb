"""One visitor's rows: export, erase, restrict, object - the answers to the desk."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from analytics.ingest import quarantine
from analytics.ingest.progress import Progress, only_loader
from analytics.ingest.segments import SYNCED_SECONDS, Segment, read_controls, segments
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.desk import remove_answers_about, remove_old_answers, write_answer
from consent_middleware.spool_values import Control

EXPORT_ROWS: Final = 100_000
# On several hosts nobody knows when the last spool is empty: a key stays filtered as long as a spool may be old.
RETIRE_SECONDS: Final = 15 * 86_400


def answer_pending(store: Store, data_dir: Path, policy: PrivacyPolicy) -> int:
    """Act on control records that wait in the spool, and take away old answers; how many were answered."""
    from analytics.ingest.loader import load_pending

    remove_old_answers(data_dir)
    spool = Path(data_dir) / "spool"
    with only_loader(spool):
        now = time.time()
        if not waiting(Progress.read(spool), list(segments(spool)), now).controls:
            return 0
        return load_pending(store, data_dir, policy).answered


class Waiting(msgspec.Struct, frozen=True):
    """Control records to act on now, by their time; and how far that reads each segment's, to note once it is done."""

    controls: list[Control]
    offsets: dict[str, int]


def waiting(progress: Progress, found: Sequence[Segment], now: float) -> Waiting:
    """What nobody acted on yet. `now` (seconds) was read before `found`.

    A copy waits, and what its worker was asked after it, until `found` holds every row of before: at once where no
    worker has rows that it did not sync, else after SYNCED_SECONDS.
    """
    until = int(now * 1000)
    late = any(segment.unsynced for segment in found)

    def may_go(control: Control) -> bool:
        age = until - control.time
        if control.kind != "export" or age >= SYNCED_SECONDS * 1000 or age < -SYNCED_SECONDS * 1000:
            return True  # one of the far future was asked for before the clock was set back
        return age > 0 and not late

    controls: list[Control] = []
    offsets: dict[str, int] = {}
    for segment in found:
        some, offsets[segment.name] = read_controls(segment, progress.controls.get(segment.name, 0), may_go)
        controls += some
    return Waiting(sorted(controls, key=lambda control: control.time), offsets)


def mark_done(progress: Progress, spool: Path, done: Waiting) -> None:
    """Record that the control records were acted on: these, and none that came meanwhile."""
    behind = {name: offset for name, offset in done.offsets.items() if offset > progress.controls.get(name, 0)}
    if behind:
        progress.controls.update(behind)
        progress.write(spool)


def note(store: Store, policy: PrivacyPolicy, controls: Iterable[Control]) -> None:
    """Before anything else is loaded: remember who is erased, restricted, objecting. Repeating it changes nothing."""
    tables = {"erase": "erased", "restrict": "restricted", "object": "objected"}
    _lift(store, [])  # what a crash left half done
    for control in controls:
        values = {"visitor": control.visitor, "site": policy.site.site_id, "time": _time(control.time)}
        if control.kind in tables:
            store.command(
                f"INSERT INTO {tables[control.kind]} (visitor, site, time) "
                "VALUES ({visitor:UInt64}, {site:String}, {time:DateTime64(3)})",
                values,
            )
        elif control.kind == "unrestrict":
            _lift(store, [control.visitor])


def erased(store: Store) -> dict[int, int]:
    """visitor -> ms: rows up to that time are erased and must not come back from an older segment."""
    rows = store.query("SELECT visitor, toUnixTimestamp64Milli(max(time)) FROM erased GROUP BY visitor")
    return {int(visitor): int(until) for visitor, until in rows}


def answer(store: Store, data_dir: Path, policy: PrivacyPolicy, controls: Sequence[Control]) -> int:
    """Do what the records ask for and put the answers where the desk finds them."""
    if any(control.kind == "erase" for control in controls):
        erasing = [control.visitor for control in controls if control.kind == "erase"]
        removed = erase(store, data_dir, erasing, noted=True)
    for control in controls:
        result: dict[str, Any] = {"request": control.kind, "answered": dt.datetime.now(dt.UTC)}
        if control.kind == "export":
            result["as_of"] = _time(control.time)  # it holds every row of before, and perhaps later ones
            result |= export(store, policy, control.visitor)
            if result["rows"]:
                # An erasure finds the answer by it. An answer without rows says nothing about anybody.
                result["visitor"] = str(control.visitor)
        elif control.kind == "erase":
            result["erased_rows"] = removed.get(control.visitor, 0)
        elif control.kind == "correct":
            result["note"] = "Statistics hold nothing that a person could correct; the request stands in the register."
        write_answer(data_dir, control.ticket, msgspec.json.encode(result))
    return len(controls)


def export(store: Store, policy: PrivacyPolicy, visitor: int) -> dict[str, Any]:
    """What is held about one visitor: rows with their names, since when, until when, and what is switched."""
    site = policy.site.site_id
    values = {"site": site, "visitor": visitor, "limit": EXPORT_ROWS}
    names, columns = store.query_columns(store.sql("visitor_rows"), values)
    rows = [
        {name: value for name, value in zip(names, row, strict=True) if value not in ("", 0, None, {})}
        for row in zip(*columns, strict=True)
    ]
    switched = {
        name: bool(store.query(f"SELECT count() FROM {name} WHERE visitor = {{visitor:UInt64}}", values)[0][0])
        for name in ("restricted", "objected")
    }
    return {
        "site": site,
        "held": len(rows),
        "since": rows[0]["time"] if rows else None,
        "until": rows[-1]["time"] if rows else None,
        "kept_days": policy.retention.raw_days,
        **switched,
        "rows": rows,
    }


def is_known(store: Store, data_dir: Path, visitor: int) -> bool:
    """Is anything of this visitor here: rows, switches, an erasure under way, lines in the quarantine?"""
    tables = ("events", "restricted", "objected", "erased")
    found = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE visitor = {{visitor:UInt64}}" for table in tables)
    if store.query(f"SELECT 1 FROM ({found}) LIMIT 1", {"visitor": visitor}):
        return True
    entries = (entry for path in quarantine.files(data_dir) for entry in quarantine.read(path))
    return any(str(visitor) in entry.line for entry in entries)


def erase(store: Store, data_dir: Path, visitors: Sequence[int], *, noted: bool = False) -> dict[int, int]:
    """Erase rows, switches and quarantined lines of visitors; visitor -> rows that were in the store.

    The keys stand in the table `erased` and in no statement, because the engine keeps the text of a mutation. Whole
    parts are written anew, partition by partition; the old ones are gone from the disk within seconds. Rows up to now
    go, or with `noted` up to the time that `note` has recorded.
    """
    known = erased(store)
    now = dt.datetime.now(dt.UTC)
    for visitor in visitors:
        if not noted or visitor not in known:  # an older record would spare what came since
            store.command(
                "INSERT INTO erased (visitor, site, time) VALUES ({visitor:UInt64}, '', {time:DateTime64(3)})",
                {"visitor": visitor, "time": now},
            )
    counts = store.query(
        "SELECT visitor, count() FROM events WHERE visitor IN (SELECT visitor FROM erased) GROUP BY visitor"
    )
    delete_erased(store)
    _lift(store, visitors)
    quarantine.erase(data_dir, visitors)
    remove_answers_about(data_dir, visitors)
    for visitor in visitors:
        remember_erasure(data_dir, visitor)
    return {int(visitor): int(count) for visitor, count in counts}


def remember_erasure(data_dir: Path, visitor: int) -> None:
    """Put an erasure on the list that a restored backup is held against: salted hashes, from which no key follows."""
    path = Path(data_dir) / "erasures.json"
    known: dict[str, Any] = {"salt": str(secrets.randbits(127)), "hashes": []}
    if path.exists():
        known = msgspec.json.decode(path.read_bytes())
    digest = _erasure_hash(known["salt"], visitor)
    if digest in known["hashes"]:
        return
    known["hashes"].append(digest)
    unfinished = path.with_suffix(".tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(known))
        os.fsync(fd)
    unfinished.replace(path)


def _erasure_hash(salt: str, visitor: int) -> str:
    return hashlib.sha256(f"{salt} {visitor}".encode()).hexdigest()


def replay_erasures(store: Store, data_dir: Path) -> int:
    """After a restore: erase again everybody on the list; how many rows went."""
    path = Path(data_dir) / "erasures.json"
    if not path.exists():
        return 0
    known = msgspec.json.decode(path.read_bytes())
    values = {"salt": known["salt"], "hashes": known["hashes"]}
    again = [int(row[0]) for row in store.query(store.sql("erased_before"), values)]
    return sum(erase(store, data_dir, again).values()) if again else 0


def delete_erased(store: Store) -> None:
    """Rewrite the parts that hold rows of erased visitors without them."""
    partitions = store.query(
        "SELECT DISTINCT _partition_id FROM events WHERE visitor IN (SELECT visitor FROM erased WHERE visitor != 0)"
    )
    for (partition,) in partitions:
        store.command(
            f"ALTER TABLE {store.local('events')} {store.on_cluster} DELETE IN PARTITION ID '{partition}' "
            "WHERE visitor IN (SELECT visitor FROM erased WHERE visitor != 0) "
            "AND time <= (SELECT max(time) FROM erased)",
            mutations_sync=2,
        )
    # The cells of these days are counted anew by themselves: their raw rows have changed. A line of a visit says more
    # of one person, so it goes at once, while the number that leads to it is known.
    known = "visitor IN (SELECT visitor FROM erased WHERE visitor != 0)"
    if store.query(f"SELECT count() FROM numbers WHERE {known}")[0][0]:
        for (site,) in store.query(f"SELECT DISTINCT site FROM numbers WHERE {known}"):
            for table in ("visits", "visit_pages"):
                store.command(
                    f"ALTER TABLE {table} {store.on_cluster} DELETE WHERE unkeyed = 0 "
                    f"AND build IN (SELECT build FROM cell_builds WHERE site = {{site:String}}) "
                    f"AND number IN (SELECT number FROM numbers WHERE site = {{site:String}} AND {known})",
                    {"site": site},
                    mutations_sync=2,
                )
        store.command(f"ALTER TABLE numbers {store.on_cluster} DELETE WHERE {known}", mutations_sync=2)


def retire(store: Store, data_dir: Path) -> None:
    """Forget erased keys once no segment is left that may hold older rows of theirs."""
    oldest = min((segment.born for segment in segments(Path(data_dir) / "spool")), default=None)
    now = dt.datetime.now(dt.UTC).timestamp()
    limit = (oldest if oldest is not None else now) - 1 if store.embedded else now - RETIRE_SECONDS
    if not store.query("SELECT count() FROM erased WHERE time < {limit:DateTime64(3)}", {"limit": _time(limit * 1000)})[
        0
    ][0]:
        return
    delete_erased(store)
    store.command(
        f"ALTER TABLE erased {store.on_cluster} DELETE WHERE time < {{limit:DateTime64(3)}}",
        {"limit": _time(limit * 1000)},
        mutations_sync=2,
    )


def _lift(store: Store, visitors: Sequence[int]) -> None:
    """Take visitors out of the tables of switches, through a queue: a statement that the engine keeps has no keys."""
    for visitor in visitors:
        store.command("INSERT INTO lifted VALUES ({visitor:UInt64})", {"visitor": visitor})
    if not store.query("SELECT count() FROM lifted")[0][0]:
        return
    for table in ("restricted", "objected"):
        store.command(
            f"ALTER TABLE {table} {store.on_cluster} DELETE WHERE visitor IN (SELECT visitor FROM lifted)",
            mutations_sync=2,
        )
    store.command(f"TRUNCATE TABLE lifted {store.on_cluster}")


def _time(ms: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
