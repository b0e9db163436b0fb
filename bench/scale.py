"""Replay a day of load, minute by minute, through spools, loaders and store: where queues grow, and what breaks first.

The model: page views follow a day curve with a peak of 2.2 times the mean; the store is away for some hours at the
worst moment. Rates of one unit (a worker, a loader, a ledger writer, a shard) are assumptions, printed with the table;
those that this machine can measure have a benchmark of their own. Nothing here is measured: it is arithmetic.

    python -m bench.scale [--outage-hours 6] [--spare 1.5]
"""

from __future__ import annotations

import argparse
import dataclasses
import math

from rich.console import Console
from rich.table import Table

MINUTES = 24 * 60
PEAK_TO_MEAN = 2.2
DEFAULT_SPOOL_BYTES = 1024**3  # [capture] spool_max_mb = 1024
VOLUMES = (1e6, 1e7, 1e8, 1e9, 1e10)


@dataclasses.dataclass(frozen=True)
class Rates:
    """What one unit does. Events a second unless another unit is named."""

    pages_per_web_core: float = 1_000.0  # what a site's own code leaves: the site, not the gate, sets it
    load_per_shard: float = 100_000.0  # one loader and one shard, 2 cores together
    decisions_per_writer: float = 2_000.0
    spool_bytes: float = 320.0  # one event in a segment
    store_bytes: float = 60.0  # one event in the store
    decisions_per_event: float = 0.02  # one visit in ten decides, five events a visit
    seal_events_per_second: float = 400_000.0  # of a day's raw rows, per shard
    web_cores_per_host: float = 16.0


@dataclasses.dataclass(frozen=True)
class Fleet:
    """What is bought for a volume."""

    web_hosts: int
    shards: int
    ledger_writers: int
    spool_bytes: float  # per web host: [capture] spool_max_mb has to be as large


@dataclasses.dataclass(frozen=True)
class Day:
    """What the replay of a day found."""

    backlog_peak: float  # events that wait in all spools
    spool_peak: float  # bytes on the fullest web host
    dropped: float  # events that found a full spool
    catch_up_minutes: int  # from the store's return until nothing waits; -1: never within the day
    seal_minutes: float


def arrivals(minute: int, per_day: float) -> float:
    """Events that arrive in a minute: a day curve whose peak is PEAK_TO_MEAN times its mean."""
    return per_day / MINUTES * (1 + (PEAK_TO_MEAN - 1) * math.sin(2 * math.pi * (minute / MINUTES - 0.25)))


def fleet_for(per_day: float, rates: Rates, spare: float) -> Fleet:
    """The smallest fleet that carries the peak with `spare` times its load."""
    peak = per_day / 86_400 * PEAK_TO_MEAN * spare
    return Fleet(
        web_hosts=max(1, math.ceil(peak / rates.pages_per_web_core / rates.web_cores_per_host)),
        shards=max(1, math.ceil(peak / rates.load_per_shard)),
        ledger_writers=max(1, math.ceil(peak * rates.decisions_per_event / rates.decisions_per_writer)),
        spool_bytes=math.inf,
    )


def with_spools(fleet: Fleet, per_day: float, rates: Rates, outage_hours: float, spare: float) -> Fleet:
    """The fleet with spools that hold `spare` times what waits at the end of the outage."""
    return dataclasses.replace(fleet, spool_bytes=spare * replay(per_day, fleet, rates, outage_hours).spool_peak)


def default_lasts(per_day: float, fleet: Fleet, rates: Rates) -> float:
    """Minutes without a store at the peak until a spool of the default size is full."""
    room = fleet.web_hosts * DEFAULT_SPOOL_BYTES / rates.spool_bytes
    return room / (per_day / MINUTES * PEAK_TO_MEAN)


def replay(per_day: float, fleet: Fleet, rates: Rates, outage_hours: float) -> Day:
    """One day; the store goes away when the curve is about to peak."""
    begin = int(MINUTES / 2 - outage_hours * 30)
    end = int(begin + outage_hours * 60)
    capacity = fleet.shards * rates.load_per_shard * 60
    room = fleet.web_hosts * fleet.spool_bytes / rates.spool_bytes
    waiting = peak = dropped = 0.0
    caught_up = -1
    # The curve is walked one and a half times, so that a backlog of the evening can drain in the night.
    for minute in range(MINUTES * 3 // 2):
        waiting += arrivals(minute % MINUTES, per_day)
        if waiting > room:
            dropped += waiting - room
            waiting = room
        away = begin <= minute < end
        waiting = waiting if away else max(0.0, waiting - capacity)
        peak = max(peak, waiting)
        if minute >= end and caught_up < 0 and waiting == 0:
            caught_up = minute - end
    return Day(
        backlog_peak=peak,
        spool_peak=peak * rates.spool_bytes / fleet.web_hosts,
        dropped=dropped,
        catch_up_minutes=caught_up,
        seal_minutes=per_day / fleet.shards / rates.seal_events_per_second / 60,
    )


def first_to_break(per_day: float, fleet: Fleet, rates: Rates, outage_hours: float) -> str:
    """Grow the load on a fixed fleet until something gives, and name it."""
    for step in range(1, 200):
        load = per_day * (1 + step * 0.05)
        peak = load / 86_400 * PEAK_TO_MEAN
        if peak > fleet.shards * rates.load_per_shard:
            return f"loading, at {load / per_day:.2f} x"
        if peak * rates.decisions_per_event > fleet.ledger_writers * rates.decisions_per_writer:
            return f"ledger writers, at {load / per_day:.2f} x"
        if peak > fleet.web_hosts * rates.web_cores_per_host * rates.pages_per_web_core:
            return f"web workers, at {load / per_day:.2f} x"
        if replay(load, fleet, rates, outage_hours).dropped:
            return f"spools, at {load / per_day:.2f} x"
    return "nothing up to 10 x"


def goals_met(day: Day, outage_hours: float) -> bool:
    """No event is lost, what waited is loaded as fast as it gathered, and sealing keeps up with the days."""
    return not day.dropped and 0 <= day.catch_up_minutes <= outage_hours * 60 and day.seal_minutes <= MINUTES


def human(value: float) -> str:
    for unit in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {unit}".strip()
        value /= 1000
    return f"{value:.3g} T"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage-hours", type=float, default=6.0)
    parser.add_argument("--spare", type=float, default=1.5)
    arguments = parser.parse_args()
    rates = Rates()
    table = Table(title=f"One day, the store away for {arguments.outage_hours:g} h at the peak (a simulation)")
    for column in ("events a day", "web hosts", "shards", "ledger writers", "raw a day", "waiting", "spool a host"):
        table.add_column(column, justify="right")
    for column in ("1 GiB lasts", "caught up after", "seal a day", "breaks first", "goals"):
        table.add_column(column, justify="right")
    for per_day in VOLUMES:
        fleet = fleet_for(per_day, rates, arguments.spare)
        fleet = with_spools(fleet, per_day, rates, arguments.outage_hours, arguments.spare)
        day = replay(per_day, fleet, rates, arguments.outage_hours)
        table.add_row(
            human(per_day),
            str(fleet.web_hosts),
            str(fleet.shards),
            str(fleet.ledger_writers),
            f"{human(per_day * rates.store_bytes)}B",
            human(day.backlog_peak),
            f"{human(fleet.spool_bytes)}B",
            f"{default_lasts(per_day, fleet, rates) / 60:.1f} h",
            "not that day" if day.catch_up_minutes < 0 else f"{day.catch_up_minutes} min",
            f"{day.seal_minutes:.1f} min",
            first_to_break(per_day, fleet, rates, arguments.outage_hours),
            "met" if goals_met(day, arguments.outage_hours) else "missed",
        )
    console = Console(width=170)
    console.print(table)
    console.print("Goals: no event lost, caught up within the time that the store was away, a day sealed within a day.")
    console.print("Assumed of one unit: " + ", ".join(f"{k} {human(v)}" for k, v in dataclasses.asdict(rates).items()))


if __name__ == "__main__":
    main()
