"""Cubes: the fixed sets of keys that a release counts by, as frozen values. Pure.

A cube states everything that its promise needs: where its keys come from (`Known`, or `Thresholded` when only the
visitors' own rows tell), which metrics it holds, the L2 bound of one visitor in each, and its share of the budget.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from analytics.anonymise import domains

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.policy_sections import CubeSpec

METRICS = ("visitors", "visits", "pageviews", "events", "bounces")
PERIODS = ("day", "week", "month")
MAX_KEYS = 100  # of one visitor in one cube: a salted hash chooses
MAX_KNOWN_KEYS = 20_000
DEFAULT_PERIOD_SHARES = {"standard": (0.5, 0.2, 0.3), "small": (0.0, 0.4, 0.6)}
OWN_CUBE_SHARE = 0.05


class CubeError(ValueError):
    """A cube that can't be released: the message names it."""


class Known(msgspec.Struct, frozen=True):
    """Keys that are fixed before anybody visits. What falls outside is counted under `(other)`."""

    keys: tuple[str, ...]


class Thresholded(msgspec.Struct, frozen=True):
    """Keys that only visitors' rows tell: released when their noisy number of visitors passes a stability threshold."""


# For a day, a week and a month: (near, beyond).
Losses = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


class Cube(msgspec.Struct, frozen=True, kw_only=True):
    """`clip[metric]` is the L2 bound of one visitor over all keys, for a day, a week and a month.

    `share` is this cube's part of a period's budget, divided over `metrics` (metric -> part, summing to 1).
    `retention[metric]` is the part of the cube's share that measures how much clipping took from that metric;
    `losses[metric]` bounds what one visitor adds to those measurements: near, and beyond it.
    """

    name: str
    columns: tuple[str, ...]
    keys: Known | Thresholded
    metrics: Mapping[str, float]
    clip: Mapping[str, tuple[float, float, float]]
    share: float
    retention: Mapping[str, float] = msgspec.field(default_factory=dict)
    losses: Mapping[str, Losses] = msgspec.field(default_factory=dict)
    periods: tuple[str, ...] = PERIODS


class Dimension(msgspec.Struct, frozen=True):
    """A column of the sealed period's rows; `level` says whether a visit or a hit has it."""

    column: str
    level: str
    known: tuple[str, ...] = ()
    skip_empty: bool = False


DIMENSIONS: Mapping[str, Dimension] = {
    "path": Dimension("path", "hit", skip_empty=True),
    "entry-page": Dimension("entry_path", "visit", skip_empty=True),
    "exit-page": Dimension("exit_path", "visit", skip_empty=True),
    "source": Dimension("source", "visit"),
    "channel": Dimension("channel", "visit", domains.CHANNELS),
    "campaign": Dimension("campaign", "visit", skip_empty=True),
    "country": Dimension("country", "visit", domains.COUNTRIES),
    "language": Dimension("language", "visit", domains.LANGUAGES),
    "browser": Dimension("browser", "visit", domains.BROWSERS),
    "os": Dimension("os", "visit", domains.SYSTEMS),
    "device": Dimension("device", "visit", domains.DEVICES),
    "weekday-hour": Dimension("hour", "hit", domains.WEEKDAY_HOURS),
    "visit-length": Dimension("visit_length", "visit", domains.VISIT_LENGTHS),
    "event": Dimension("event", "hit", skip_empty=True),
}

ONE = (1.0, 1.0, 1.0)
VISITS = (2.0, 4.0, 8.0)
# What one visitor may add, as an L2 norm over keys, where a cube says nothing else (day, week, month).
DEFAULT_CLIPS: Mapping[str, tuple[float, float, float]] = {
    "visitors": (2.0, 2.5, 3.0),
    "visits": VISITS,
    "pageviews": (4.0, 6.0, 10.0),
    "events": (4.0, 6.0, 10.0),
    "bounces": VISITS,
}
PATH_VISITORS_CLIP = (16**0.5, 32**0.5, 64**0.5)
PATH_VIEWS_CLIP = (16**0.5, 32**0.5, 64**0.5)
# What clipping may take from one visitor and is still measured.
PATH_LOSSES: Mapping[str, Losses] = {
    "visitors": ((8.0, 30.0), (15.0, 60.0), (30.0, 120.0)),
    "pageviews": ((15.0, 60.0), (30.0, 120.0), (60.0, 240.0)),
}
VISIT_LOSSES: Losses = ((4.0, 12.0), (8.0, 24.0), (16.0, 48.0))
TOTAL_LOSSES: Mapping[str, Losses] = {
    "visits": VISIT_LOSSES,
    "pageviews": ((60.0, 200.0), (120.0, 400.0), (240.0, 800.0)),
    "bounces": VISIT_LOSSES,
}
PATH_RETENTION = {"visitors": 0.04, "pageviews": 0.08}


def _single(name: str, share: float, **metrics: float) -> Cube:
    """A cube over something a visitor usually has one of."""
    clip = {metric: ONE if metric == "visitors" else VISITS for metric in metrics}
    return Cube(name=name, columns=(name,), keys=_keys((name,), ()), metrics=metrics, clip=clip, share=share)


def _keys(columns: Sequence[str], paths: tuple[str, ...]) -> Known | Thresholded:
    """Known when every column's domain is; the product of two when it stays small enough."""
    lists = [_domain(column, paths) for column in columns]
    if not all(lists):
        return Thresholded()
    keys = lists[0]
    for more in lists[1:]:
        keys = tuple(f"{left}{domains.SEPARATOR}{right}" for left in keys for right in more)
    return Known(keys) if len(keys) <= MAX_KNOWN_KEYS else Thresholded()


def _domain(column: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    if column in {"path", "entry-page", "exit-page"} and paths:
        return (*dict.fromkeys(path for path in paths if path != domains.OTHER), domains.OTHER)
    return DIMENSIONS[column].known


def built_in(paths: tuple[str, ...] = ()) -> dict[str, Cube]:
    """The cubes that every site has, by name; `paths` is the site's route table or sitemap, if there is one."""
    path_keys = _keys(("path",), paths)
    cubes = [
        Cube(
            name="total",
            columns=(),
            keys=Known(("",)),
            metrics={"visitors": 0.60, "visits": 0.11, "pageviews": 0.18, "events": 0.05, "bounces": 0.06},
            clip={
                "visitors": ONE,
                "visits": VISITS,
                "pageviews": (40.0, 80.0, 160.0),
                "events": (20.0, 40.0, 80.0),
                "bounces": VISITS,
            },
            share=0.22,
            retention={"visits": 0.025, "pageviews": 0.11, "bounces": 0.015},
            losses=TOTAL_LOSSES,
        ),
        Cube(
            name="path",
            columns=("path",),
            keys=path_keys,
            metrics={"visitors": 0.42, "pageviews": 0.58},
            clip={"visitors": PATH_VISITORS_CLIP, "pageviews": PATH_VIEWS_CLIP},
            share=0.30,
            retention=PATH_RETENTION,
            losses=PATH_LOSSES,
        ),
        Cube(
            name="entry-page",
            columns=("entry-page",),
            keys=path_keys,
            metrics={"visitors": 0.4, "visits": 0.4, "bounces": 0.2},
            clip={"visitors": (1.5, 2.0, 2.5), "visits": VISITS, "bounces": VISITS},
            share=0.08,
        ),
        Cube(
            name="exit-page",
            columns=("exit-page",),
            keys=path_keys,
            metrics={"visitors": 0.5, "visits": 0.5},
            clip={"visitors": (1.5, 2.0, 2.5), "visits": VISITS},
            share=0.04,
        ),
        Cube(
            name="source",
            columns=("source",),
            keys=Thresholded(),
            metrics={"visitors": 0.5, "visits": 0.3, "bounces": 0.2},
            clip={"visitors": (1.5, 2.0, 2.5), "visits": VISITS, "bounces": VISITS},
            share=0.10,
        ),
        Cube(
            name="channel",
            columns=("channel",),
            keys=Known(domains.CHANNELS),
            metrics={"visitors": 0.6, "visits": 0.4},
            clip={"visitors": (1.5, 2.0, 2.5), "visits": VISITS},
            share=0.05,
        ),
        Cube(
            name="campaign",
            columns=("campaign",),
            keys=Thresholded(),
            metrics={"visitors": 0.5, "visits": 0.5},
            clip={"visitors": (1.5, 2.0, 2.5), "visits": VISITS},
            share=0.02,
        ),
        _single("country", 0.04, visitors=0.6, visits=0.4),
        _single("language", 0.02, visitors=1.0),
        _single("browser", 0.02, visitors=1.0),
        _single("os", 0.02, visitors=1.0),
        _single("device", 0.02, visitors=1.0),
        Cube(
            name="weekday-hour",
            columns=("weekday-hour",),
            keys=Known(domains.WEEKDAY_HOURS),
            metrics={"pageviews": 1.0},
            clip={"pageviews": (12.0, 18.0, 30.0)},
            share=0.02,
        ),
        Cube(
            name="visit-length",
            columns=("visit-length",),
            keys=Known(domains.VISIT_LENGTHS),
            metrics={"visits": 1.0},
            clip={"visits": VISITS},
            share=0.03,
        ),
        Cube(
            name="event",
            columns=("event",),
            keys=Thresholded(),
            metrics={"visitors": 0.5, "events": 0.5},
            clip={"visitors": (1.5, 2.0, 2.5), "events": (4.0, 6.0, 10.0)},
            share=0.02,
        ),
    ]
    return {cube.name: cube for cube in cubes}


SMALL_TIER = {"total": 0.6, "channel": 0.15, "country": 0.1, "device": 0.1, "visit-length": 0.05}


def cubes_of(policy: PrivacyPolicy, paths: tuple[str, ...] = ()) -> tuple[Cube, ...]:
    """The cubes that the policy file names, with shares that sum to at most 1. Raises CubeError."""
    anonymity = policy.anonymity
    known = built_in(paths)
    chosen: list[Cube] = []
    for entry in anonymity.cubes or (known if anonymity.tier == "standard" else SMALL_TIER):
        if isinstance(entry, str):
            if entry not in known:
                raise CubeError(f'cube "{entry}": there is no such cube{_near(entry, known)}')
            chosen.append(known[entry])
        else:
            chosen.append(_own(entry, paths))
    if anonymity.tier == "small":
        chosen = [_small(cube) for cube in chosen]
    if not any(cube.name == "total" for cube in chosen):
        chosen.insert(0, known["total"])
    cubes = _with_shares(
        chosen, anonymity.shares, {c.name for c in anonymity.cubes if not isinstance(c, str) and c.share}
    )
    check(cubes)
    return cubes


def check(cubes: Iterable[Cube]) -> None:
    """Refuse, by name, what could not keep its promise. Raises CubeError."""
    total, seen = 0.0, set()
    for cube in cubes:
        if cube.name in seen:
            raise CubeError(f'cube "{cube.name}": declared twice')
        seen.add(cube.name)
        for column in cube.columns:
            if column not in DIMENSIONS:
                raise CubeError(f'cube "{cube.name}": "{column}" is not a key column{_near(column, DIMENSIONS)}')
        if not cube.metrics:
            raise CubeError(f'cube "{cube.name}": no metric')
        for metric in cube.metrics:
            if metric not in METRICS:
                raise CubeError(f'cube "{cube.name}": "{metric}" is not a metric{_near(metric, METRICS)}')
            bounds = cube.clip.get(metric)
            if not bounds or len(bounds) < len(PERIODS) or not all(0 < bound < math.inf for bound in bounds):
                raise CubeError(f'cube "{cube.name}": no bound (clip) for "{metric}"')
        if isinstance(cube.keys, Thresholded) and next(iter(cube.metrics)) != "visitors":
            raise CubeError(f'cube "{cube.name}": keys that nobody declared are chosen by "visitors", its first metric')
        for metric, part in cube.retention.items():
            losses = [bound for pair in cube.losses.get(metric, ()) for bound in pair]
            bounded = len(losses) == 2 * len(PERIODS) and all(0 < bound < math.inf for bound in losses)
            if metric not in cube.metrics or not bounded:
                raise CubeError(f'cube "{cube.name}": no bound (losses) for what clipping takes from "{metric}"')
            if part <= 0:
                raise CubeError(f'cube "{cube.name}": no budget (retention) for what clipping takes from "{metric}"')
        if math.fsum(cube.metrics.values()) > 1 + 1e-9 or math.fsum(cube.retention.values()) >= 1:
            raise CubeError(f'cube "{cube.name}": its metrics take more than the whole of its share')
        if not 0 < cube.share <= 1:
            raise CubeError(f'cube "{cube.name}": share {cube.share:g} is not between 0 and 1')
        total += cube.share
    if total > 1 + 1e-9:
        largest = max(cubes, key=lambda cube: cube.share)
        raise CubeError(
            f'cube "{largest.name}": with its share of {largest.share:g} all shares add up to {total:g}, above 1'
        )


def period_shares(policy: PrivacyPolicy) -> dict[str, float]:
    """How the whole budget is split over day, week and month."""
    default = dict(zip(PERIODS, DEFAULT_PERIOD_SHARES[policy.anonymity.tier], strict=True))
    named = {period: share for period, share in policy.anonymity.shares.items() if period in PERIODS}
    if not named:
        return default
    rest = max(1 - sum(named.values()), 0.0)
    open_periods = {period: share for period, share in default.items() if period not in named}
    scale = rest / sum(open_periods.values()) if sum(open_periods.values()) else 0.0
    return {period: named.get(period, default[period] * scale) for period in PERIODS}


def _own(spec: CubeSpec, paths: tuple[str, ...]) -> Cube:
    for column in spec.keys:
        if column not in DIMENSIONS:
            raise CubeError(f'cube "{spec.name}": "{column}" is not a key column{_near(column, DIMENSIONS)}')
    for metric in spec.metrics:
        if metric not in METRICS:
            raise CubeError(f'cube "{spec.name}": "{metric}" is not a metric{_near(metric, METRICS)}')
    keys = Known((*dict.fromkeys(spec.known), domains.OTHER)) if spec.known else _keys(spec.keys, paths)
    metrics = tuple(dict.fromkeys(spec.metrics))
    if isinstance(keys, Thresholded):
        metrics = ("visitors", *(metric for metric in metrics if metric != "visitors"))
    clip = {m: (spec.clip,) * 3 if spec.clip else DEFAULT_CLIPS[m] for m in metrics}
    # A visitor has few keys of visits and may have a hundred pages.
    of_hits = any(DIMENSIONS[column].level == "hit" for column in spec.keys)
    losses = {metric: PATH_LOSSES[metric] for metric in metrics if of_hits and metric in PATH_LOSSES}
    return Cube(
        name=spec.name,
        columns=spec.keys,
        keys=keys,
        metrics={metric: 1 / len(metrics) for metric in metrics},
        clip=clip,
        share=spec.share or OWN_CUBE_SHARE,
        retention={metric: PATH_RETENTION[metric] for metric in losses},
        losses=losses,
    )


def _small(cube: Cube) -> Cube:
    """The tier of small sites: the total every week, everything else every month."""
    periods = ("week", "month") if cube.name == "total" else ("month",)
    return msgspec.structs.replace(cube, periods=periods, share=SMALL_TIER.get(cube.name, cube.share))


def _with_shares(cubes: Sequence[Cube], shares: Mapping[str, float], explicit: set[str]) -> tuple[Cube, ...]:
    """Shares named in the file stay as they are; the others divide the rest in their default proportions."""
    names = {cube.name for cube in cubes}
    for name in shares:
        if name not in names and name not in PERIODS:
            raise CubeError(f'share "{name}": there is no such cube or period{_near(name, [*names, *PERIODS])}')
    fixed = {
        cube.name: shares.get(cube.name, cube.share) for cube in cubes if cube.name in shares or cube.name in explicit
    }
    taken, free = sum(fixed.values()), sum(cube.share for cube in cubes if cube.name not in fixed)
    if free and taken >= 1:
        last = next(cube.name for cube in cubes if cube.name not in fixed)
        raise CubeError(f'cube "{last}": the declared shares take {taken:g} of 1, nothing is left for it')
    scale = (1 - taken) / free if free else 1.0
    return tuple(msgspec.structs.replace(cube, share=fixed.get(cube.name, cube.share * scale)) for cube in cubes)


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean "{near[0]}"?)' if near else f" (known: {', '.join(known)})"
