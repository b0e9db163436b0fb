"""The released lane: reads sealed files and nothing else; values with 95 % intervals, never a negative shown."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import msgspec

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import Cell, SealedRelease
from analytics.reports import reconcile
from analytics.reports.reconcile import Z95, Noisy

# Exactly additive over days. A visit over midnight is two visits of two days and one of the week; a visitor likewise.
ADDITIVE = frozenset({"pageviews", "events"})
# Each visit has exactly one of these, each page view an hour: the cells of such a cube make up the total.
PARTITIONS = {"visits": ("channel", "country", "visit-length"), "pageviews": ("weekday-hour",)}
# Every visit has one of these, but not every one is released.
BY_VISIT = frozenset({"entry-page", "exit-page", "source", "campaign"})


class ReleasedCell(msgspec.Struct, frozen=True, kw_only=True):
    """One number for display: `value`, `low` and `high` are never negative; `noise`: below its own noise."""

    key: str
    value: int
    low: int
    high: int
    estimate: float  # before clamping and rounding
    sigma: float
    noise: bool


class ReleasedReader:
    """Sealed releases of a folder, as an analyst or a recipient reads them."""

    def __init__(self, releases_dir: Path) -> None:
        self.releases_dir = Path(releases_dir)
        self._load = lru_cache(maxsize=128)(self._read)
        self._manifest = lru_cache(maxsize=1024)(self._read_manifest)

    def releases(self, site: str | None = None) -> list[SealedRelease]:
        """All that still have cells, or those of one site, in the order in which they were sealed."""
        found = sealed.releases(self.releases_dir, site) if self.releases_dir.is_dir() else []
        return [release for release in found if release.path.exists()]

    def release(self, site: str, period: str | Period) -> SealedRelease | None:
        """The release of that period, or None: it was not sealed."""
        stem = (period if isinstance(period, Period) else Period.parse(period)).file_stem
        path = self.releases_dir / site / f"{stem}.json"
        if not site or "/" in site or site.startswith(".") or not path.is_file():
            return None
        if not path.with_suffix(".parquet").exists():
            return None  # its time has passed
        return self._manifest(path, path.stat().st_mtime_ns)

    def cubes(self, site: str, period: str) -> dict[str, list[str]]:
        """cube -> its metrics, in the order of the manifest."""
        release = self.release(site, period)
        found: dict[str, list[str]] = {}
        for m in release.manifest["measurements"] if release else ():
            if m["keys"] != "retention":
                found.setdefault(m["cube"], []).append(m["metric"])
        return found

    def cells(self, site: str, period: str, cube: str, metric: str, *, as_drawn: bool = False) -> list[ReleasedCell]:
        """Largest first. Clipping is undone where the release measured it, days, weeks and months are combined, parts
        agree with totals; `as_drawn` leaves all that out.

        Raises KeyError when the period has no release or the release has no such cube or metric.
        """
        release = self.release(site, period)
        if release is None:
            raise KeyError(f"{period} of {site} has no release")
        if metric not in self.cubes(site, period).get(cube, ()):
            raise KeyError(f"{period} of {site}: no {metric} by {cube} was released")
        table = self._drawn(release, cube, metric) if as_drawn else self._consistent(release, cube, metric)
        shown = [shown_cell(key, noisy.value, noisy.sigma) for key, noisy in table.items()]
        return sorted(shown, key=lambda cell: (-cell.estimate, cell.key))

    def _drawn(self, release: SealedRelease, cube: str, metric: str) -> dict[str, Noisy]:
        cells = self._load(release.path, release.sha256)
        return {c.key: Noisy(c.value, c.sigma**2) for c in cells if c.cube == cube and c.metric == metric}

    def _unclipped(self, release: SealedRelease, cube: str, metric: str) -> dict[str, Noisy]:
        """The drawn cells with clipping undone, where the release measured what it took."""
        drawn = self._drawn(release, cube, metric)
        bounds = self._bounds(release, cube)
        if f"{metric}-lost" not in bounds or not self._drawn(release, cube, f"{metric}-lost"):
            return self._between(release, cube, metric, drawn)
        if cube == "total":  # one cell says itself what was kept
            return {key: reconcile.added([c, self._taken(release, cube, metric, c)]) for key, c in drawn.items()}
        ratio = self._ratio(release, cube, metric)
        everybody = self._drawn(release, "total", "visitors").get("")
        return reconcile.unclipped_all(metric, drawn, ratio, self._drawn(release, cube, "visitors"), everybody)

    def _ratio(self, release: SealedRelease, cube: str, metric: str) -> Noisy:
        """The part that clipping kept of all that a cube counts."""
        kept = self._drawn(release, cube, f"{metric}-kept")[""]
        if (cube, metric) in self._known(release):
            # Every key is there: their sum is what was kept, and on a small site far less noisy than its own number.
            kept = reconcile.weighted([kept, reconcile.added(list(self._drawn(release, cube, metric).values()))])
        took = self._taken(release, cube, metric, kept)
        if metric == "pageviews" and "pageviews-lost" in self._bounds(release, "total"):
            # Each page view is in one cell: how many there were in all is known much better than what the cube kept.
            total = self._unclipped(release, "total", metric)[""]
            ratio = reconcile.retention_of(reconcile.weighted([total, reconcile.added([kept, took])]), took)
        else:
            ratio = reconcile.retention(kept, took)
        return ratio or reconcile.TYPICAL_RETENTION

    def _between(self, release: SealedRelease, cube: str, metric: str, drawn: dict[str, Noisy]) -> dict[str, Noisy]:
        """Visits and bounces by a key of visits, of which clipping took no more than from the total.

        There all of a visitor's visits are one number, here they are spread over keys, under the same bound.
        """
        total, own = self._bounds(release, "total"), self._bounds(release, cube)
        if cube not in BY_VISIT or f"{metric}-lost" not in total or own[metric] < total[metric]:
            return drawn
        kept = self._drawn(release, "total", metric)[""]
        ratio = reconcile.retention(kept, self._taken(release, "total", metric, kept))
        return {key: reconcile.halfway(cell, ratio) for key, cell in drawn.items()} if ratio else drawn

    def _taken(self, release: SealedRelease, cube: str, metric: str, kept: Noisy) -> Noisy:
        lost, beyond = f"{metric}-lost", f"{metric}-beyond"
        bounds = self._bounds(release, cube)
        typical = reconcile.TYPICAL_OF_A_TOTAL if cube == "total" else reconcile.TYPICAL[metric]
        return reconcile.taken(
            self._drawn(release, cube, lost)[""],
            self._drawn(release, cube, beyond)[""],
            typical=typical * kept.value,
            times=bounds[beyond] / bounds[lost],
        )

    @staticmethod
    def _known(release: SealedRelease) -> set[tuple[str, str]]:
        """(cube, metric) of those that were released for all keys that there can be."""
        return {(m["cube"], m["metric"]) for m in release.manifest["measurements"] if m["keys"] == "known"}

    @staticmethod
    def _bounds(release: SealedRelease, cube: str) -> dict[str, float]:
        """Metric -> what one visitor adds at most (L2), as the manifest states it."""
        return {m["metric"]: m["l2"] for m in release.manifest["measurements"] if m["cube"] == cube}

    def _combined(self, release: SealedRelease, cube: str, metric: str) -> dict[str, Noisy]:
        """A week or month together with its days, a day together with its week, key by key where all have the key."""
        own = self._unclipped(release, cube, metric)
        if metric not in ADDITIVE:
            return own
        whole = release if release.period.kind != "day" else self._there(release, "week", cube, metric)
        if whole is None:
            return own
        days = [self._there(release, Period.of("day", day), cube, metric) for day in whole.period.days]
        if any(day is None for day in days):
            return own
        parts = [self._unclipped(day, cube, metric) for day in days if day is not None]
        of_whole = self._unclipped(whole, cube, metric)
        result = dict(own)
        for key in own:
            if key not in of_whole or not all(key in part for part in parts):
                continue  # a key below the threshold somewhere: nothing to combine with
            measured = [part[key] for part in parts]
            if whole is release:
                result[key] = reconcile.whole_of(own[key], measured)
            else:
                number = whole.period.days.index(release.period.first)
                result[key] = reconcile.part_of(measured, number, of_whole[key])
        return result

    def _there(self, release: SealedRelease, period: Period | str, cube: str, metric: str) -> SealedRelease | None:
        """The sealed period (or the one of that kind which holds the release's first day), if it has the metric."""
        wanted = period if isinstance(period, Period) else Period.of(period, release.period.first)
        found = self.release(release.site, wanted)
        has = found is not None and metric in self.cubes(release.site, str(wanted)).get(cube, ())
        return found if has else None

    def _consistent(self, release: SealedRelease, cube: str, metric: str) -> dict[str, Noisy]:
        """Cubes that make up the total add up to it.

        They do not correct the total: clipping took more from them than from it, so their sum is not an estimate of it.
        """
        table = self._combined(release, cube, metric)
        if cube not in PARTITIONS.get(metric, ()):
            return table
        if metric not in self.cubes(release.site, str(release.period)).get("total", ()):
            return table
        return reconcile.summing_to(table, self._combined(release, "total", metric)[""])

    def _read(self, path: Path, sha256: str) -> tuple[Cell, ...]:
        return tuple(sealed.read_checked(path.read_bytes(), sha256, path))

    def _read_manifest(self, path: Path, _changed: int) -> SealedRelease:
        return sealed.read_manifest(path)

    def remainder(self, site: str, period: str, cube: str, metric: str) -> ReleasedCell | None:
        """What a threshold kept back: the total minus the shown keys; None for cubes that have every key."""
        release = self.release(site, period)
        kinds = {(m["cube"], m["metric"]): m["keys"] for m in release.manifest["measurements"]} if release else {}
        if release is None or kinds.get((cube, metric)) not in ("threshold", "selected") or metric not in ADDITIVE:
            return None
        if ("total", metric) not in kinds:
            return None
        total = self._consistent(release, "total", metric)[""]
        shown = reconcile.added(list(self._consistent(release, cube, metric).values()))
        return shown_cell("(not released)", total.value - shown.value, math.hypot(total.sigma, shown.sigma))


def shown_cell(key: str, estimate: float, sigma: float) -> ReleasedCell:
    """Clamped and rounded for display; the interval covers the true count in 95 of 100 draws."""
    return ReleasedCell(
        key=key,
        value=max(0, round(estimate)),
        low=max(0, math.floor(estimate - Z95 * sigma)),
        high=max(0, math.ceil(estimate + Z95 * sigma)),
        estimate=estimate,
        sigma=sigma,
        noise=is_noise(estimate, sigma),
    )


def is_noise(estimate: float, sigma: float) -> bool:
    """Whether a number is below its own noise: its interval of 95 % reaches down to nothing.

    A mark of one number, for whoever asks about that number: it is wrong for one empty cell in 40, however many there
    are. A list of what is there needs `bound_among`, or it would name six empty cells of 250.
    """
    return estimate < Z95 * sigma


def bound_among(cells: int) -> float:
    """From how many standard deviations on a number stands out among all `cells` of its table.

    In 95 of 100 tables no cell of pure noise reaches it (Bonferroni); for one cell alone it is `is_noise`'s.
    """
    return NormalDist().inv_cdf(1 - 0.025 / max(cells, 1))
