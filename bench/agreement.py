"""Totals of an imported log beside GoAccess's: each difference is explained, line by line, or it is a fault.

    python -m bench.agreement --log access.log

Lines that both take must give the same requests, bytes, statuses and days. Lines that one of the two rejects are listed
by reason, with their number and one of them. Exit 1 when a difference is left without an explanation.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analytics.ingest.accesslog import import_log
from analytics.store import Store, open_store

LINE = re.compile(
    r'^(?P<address>\S+) .*?\[(?P<time>[^\]]*)\] "(?P<request>.*?)" (?P<status>\d{3})(?: (?P<bytes>\S+))?'
    r'(?: "(?P<referrer>.*?)" "(?P<agent>.*?)")?\s*$'
)
FILES = re.compile(
    r"\.(css|m?js|map|json|xml|txt|csv|wasm|webmanifest|png|jpe?g|gif|svg|ico|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm"
    r"|wav|ogg|pdf|zip|gz|docx?|xlsx?|pptx?)$",
    re.IGNORECASE,
)
STATEMENT = "INSERT INTO verdicts SELECT line, reason FROM (%s)"
METHODS = re.compile(r"^(GET|POST|HEAD|PUT|DELETE|CONNECT|OPTIONS|PATCH|TRACE|[A-Z]+) \S+ HTTP/[0-9.]+$")
ADDRESS = re.compile(r"^(\d{1,3}(\.\d{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$")


@dataclasses.dataclass(frozen=True)
class Difference:
    """`explained` is empty where nobody knows why."""

    what: str
    goaccess: int
    ours: int
    explained: str = ""
    example: str = ""


@dataclasses.dataclass(frozen=True)
class Sides:
    """Lines that we take, lines that GoAccess takes, and those that one of the two takes alone."""

    ours: list[str]
    theirs: list[str]
    only_ours: Counter[str]
    only_theirs: Counter[str]


def _by_address(line: str) -> bool:
    return not ADDRESS.match(line.partition(" ")[0])


def _by_request(line: str) -> bool:
    found = LINE.match(line)
    return found is not None and not METHODS.match(found["request"])


# Why GoAccess leaves out a line that we take; the first that applies.
ONLY_OURS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (
        "the client is a host name or `-`: GoAccess wants an address; we count the request without a country",
        _by_address,
    ),
    (
        "the request has a space in its target or no HTTP version: GoAccess drops the line, we keep what it asks for",
        _by_request,
    ),
    ("common format: GoAccess was told combined", lambda line: line.count('"') < 6),
)
# Why we leave out a line that GoAccess takes.
ONLY_GOACCESS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("the status is none of HTTP (100 to 599)", lambda line: bool(re.search(r'" ([06-9]\d\d|0\d\d) ', line))),
    ("the request is none: its target is no path and no URL", _by_request),
)


def compare(log: Path, folder: Path) -> list[Difference]:
    """Everything that is counted, equal or not."""
    told, refused = _goaccess(log, folder)
    lines = [line for line in log.read_bytes().decode("utf-8", "surrogateescape").split("\n") if line]
    with open_store(None, folder / "var") as store:
        import_log(store, folder / "var", log, site="site", basis="imported", allowed=frozenset())
        rejected = _rejected(store, log)
        sides = Sides(_without(lines, rejected), _without(lines, refused), refused - rejected, rejected - refused)
        found = [_lines(told["general"], refused, rejected, len(lines))]
        for name, one_sided, reasons in (
            ("taken by us only", sides.only_ours, ONLY_OURS),
            ("taken by GoAccess only", sides.only_theirs, ONLY_GOACCESS),
        ):
            found += _explained(name, one_sided, reasons, ours=one_sided is sides.only_ours)
        return [*found, *_totals(store, told, sides), _visitors(store, told, sides)]


def _without(lines: list[str], left_out: Counter[str]) -> list[str]:
    left, kept = Counter(left_out), []
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
        else:
            kept.append(line)
    return kept


def _goaccess(log: Path, folder: Path) -> tuple[dict[str, Any], Counter[str]]:
    """Its report, and the lines that it refused."""
    report, invalid = folder / "goaccess.json", folder / "invalid.log"
    command = ["goaccess", str(log), "--log-format=COMBINED", "--no-progress", "-o", str(report)]
    limits = ["--max-items=100000", f"--invalid-requests={invalid}"]
    subprocess.run([*command, *limits], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = (
        [line for line in invalid.read_bytes().decode("utf-8", "surrogateescape").split("\n") if line]
        if invalid.exists()
        else []
    )
    return json.loads(report.read_text("utf-8", "replace")), Counter(lines)


def _rejected(store: Store, log: Path) -> Counter[str]:
    store.command("CREATE OR REPLACE TABLE verdicts (line String, reason String) ENGINE = Memory")
    store.command(STATEMENT % store.sql("parse_combined"), {"log": str(log.absolute())})
    rows = store.query("SELECT line, count() FROM verdicts WHERE reason != '' AND line != '' GROUP BY line")
    store.command("DROP TABLE verdicts")
    return Counter({str(line): int(count) for line, count in rows})


def _lines(general: dict[str, Any], refused: Counter[str], rejected: Counter[str], lines: int) -> Difference:
    theirs = int(general["valid_requests"])
    both = (refused & rejected).total()
    why = f"{both} of {lines} lines are refused by both, and those that follow by one"
    return Difference("lines", theirs, lines - rejected.total(), why if theirs == lines - refused.total() else "")


def _explained(
    name: str, lines: Counter[str], reasons: tuple[tuple[str, Callable[[str], bool]], ...], *, ours: bool
) -> list[Difference]:
    by_reason: dict[str, list[str]] = {}
    for line in lines.elements():
        reason = next((text for text, applies in reasons if applies(line)), "")
        by_reason.setdefault(reason, []).append(line)
    return [
        Difference(name, 0 if ours else len(found), len(found) if ours else 0, reason, found[0][:120])
        for reason, found in sorted(by_reason.items())
    ]


def _totals(store: Store, told: dict[str, Any], sides: Sides) -> list[Difference]:
    """Bytes, statuses and days; what lines of one side add is taken off, and then the numbers have to be equal."""
    ours, theirs = _counted(sides.only_ours), _counted(sides.only_theirs)
    statuses = {
        int(item["data"][:3]): int(item["hits"]["count"])
        for group in told["status_codes"]["data"]
        for item in group["items"]
    }
    [(bytes_,)] = store.query("SELECT sum(bytes) FROM events")
    found = [_less("bytes", int(told["general"]["bandwidth"]), bytes_, ours["bytes"], theirs["bytes"])]
    held = dict(store.query("SELECT status, count() FROM events GROUP BY status"))
    for status in sorted(statuses | held):
        name = f"status {status}"
        found.append(_less(name, statuses.get(status, 0), held.get(status, 0), ours[name], theirs[name]))
    days = {f"day {dt.date.fromisoformat(day['data'])}": int(day["hits"]["count"]) for day in told["visitors"]["data"]}
    held = dict(store.query("SELECT concat('day ', toString(toDate(time))) AS day, count() FROM events GROUP BY day"))
    moved = Counter[str]()  # lines whose day by the log's clock is not their day in UTC
    for line in sides.ours:
        if parts := LINE.match(line):
            moved[_day(parts["time"])] += 1
            moved[_local_day(parts["time"])] -= 1
    for name in sorted(days | held):
        found.append(_less(name, days.get(name, 0), held.get(name, 0) - moved[name], ours[name], theirs[name]))
        if moved[name] and found[-1].explained:
            why = f"{found[-1].explained}, and {moved[name]:+} by the log's clock, which is not UTC"
            found[-1] = dataclasses.replace(found[-1], ours=held.get(name, 0), explained=why)
    return found


def _day(time: str) -> str:
    return f"day {dt.datetime.strptime(time, '%d/%b/%Y:%H:%M:%S %z').astimezone(dt.UTC).date()}"


def _local_day(time: str) -> str:
    return f"day {dt.datetime.strptime(time[:11], '%d/%b/%Y').date()}"  # a day on the log's clock


def _counted(lines: Counter[str]) -> Counter[str]:
    """What lines add to each total."""
    found: Counter[str] = Counter()
    for line, count in lines.items():
        if parts := LINE.match(line):
            found[_local_day(parts["time"])] += count
            found[f"status {parts['status']}"] += count
            found["bytes"] += count * int(parts["bytes"]) if (parts["bytes"] or "").isdigit() else 0
    return found


def _less(what: str, theirs: int, ours: int, only_ours: int, only_theirs: int) -> Difference:
    same = theirs - only_theirs == ours - only_ours
    why = "equal" if same and theirs == ours else "by the lines above" if same else ""
    return Difference(what, theirs, int(ours), why)


def _visitors(store: Store, told: dict[str, Any], sides: Sides) -> Difference:
    """GoAccess counts address, user agent and day of every request; we count those who saw a page, by key and day."""
    theirs = int(told["general"]["unique_visitors"])
    [(ours,)] = store.query("SELECT uniqExact((visitor, toDate(time))) FROM events WHERE visitor != 0")
    everybody = {
        (parts["address"], parts["agent"], _local_day(parts["time"]))
        for parts in map(LINE.match, sides.theirs)
        if parts and not parts["status"].startswith("4")  # it leaves client errors out of its visitors
    }
    readers = {
        (p["address"], p["agent"] or "-", _day(p["time"])) for p in map(LINE.match, sides.ours) if p and _page(p)
    }
    exact = len(everybody) == theirs and len(readers) == ours
    why = "we count who asked for a page, found or not; GoAccess who got anything, files and redirections too"
    return Difference("visitors, each day anew", theirs, int(ours), why if exact else "")


def _page(parts: re.Match[str]) -> bool:
    method, _, rest = parts["request"].partition(" ")
    target = re.sub(r" HTTP/[0-9.]+$", "", rest).partition("?")[0]
    status = int(parts["status"])
    return method == "GET" and (status < 300 or status == 304 or status >= 400) and not FILES.search(target)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, help="a combined log; without it one is made up")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = arguments.log or Path(folder) / "access.log"
        if arguments.log is None:
            importlib.import_module("bench.import").write_log(log, 200_000)
        found = compare(log, Path(folder))
    table = Table("what", "GoAccess", "ours", "explanation", "such as", title="An imported log, counted twice")
    for one in found:
        table.add_row(one.what, f"{one.goaccess:,}", f"{one.ours:,}", one.explained or "NOT EXPLAINED", one.example)
    Console(file=sys.stdout).print(table)
    return 0 if all(one.explained for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
