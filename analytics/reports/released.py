"""The released lane: reads sealed files and nothing else; values with 95 % intervals, never a negative shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import Cell, SealedRelease

Z95 = 1.959963984540054


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
        self._load = lru_cache(maxsize=256)(self._read)

    def releases(self, site: str | None = None) -> list[SealedRelease]:
        return sealed.releases(self.releases_dir, site) if self.releases_dir.is_dir() else []

    def release(self, site: str, period: str | Period) -> SealedRelease | None:
        """The release of that period, or None: it was not sealed."""
        stem = (period if isinstance(period, Period) else Period.parse(period)).file_stem
        path = self.releases_dir / site / f"{stem}.json"
        return sealed.read_manifest(path) if "/" not in site and path.is_file() else None

    def cubes(self, site: str, period: str) -> dict[str, list[str]]:
        """cube -> its metrics, in the order of the manifest."""
        release = self.release(site, period)
        found: dict[str, list[str]] = {}
        for m in release.manifest["measurements"] if release else ():
            if m["keys"] != "retention":
                found.setdefault(m["cube"], []).append(m["metric"])
        return found

    def cells(self, site: str, period: str, cube: str, metric: str) -> list[ReleasedCell]:
        """Largest first. Raises KeyError when the period has no release or the release has no such cube or metric."""
        release = self.release(site, period)
        if release is None:
            raise KeyError(f"{period} of {site} has no release")
        if metric not in self.cubes(site, period).get(cube, ()):
            raise KeyError(f"{period} of {site}: no {metric} by {cube} was released")
        cells = [c for c in self._load(release.path, release.sha256) if c.cube == cube and c.metric == metric]
        shown = [shown_cell(cell.key, cell.value, cell.sigma) for cell in cells]
        return sorted(shown, key=lambda cell: (-cell.estimate, cell.key))

    def _read(self, path: Path, sha256: str) -> tuple[Cell, ...]:
        raw = path.read_bytes()
        return tuple(sealed.read_checked(raw, sha256, path))


def shown_cell(key: str, estimate: float, sigma: float) -> ReleasedCell:
    """Clamped and rounded for display; the interval covers the true count in 95 of 100 draws."""
    return ReleasedCell(
        key=key,
        value=max(0, round(estimate)),
        low=max(0, math.floor(estimate - Z95 * sigma)),
        high=max(0, math.ceil(estimate + Z95 * sigma)),
        estimate=estimate,
        sigma=sigma,
        noise=estimate < Z95 * sigma,
    )


def below_noise(cells: Iterable[ReleasedCell]) -> int:
    """How many cells can't be told from none."""
    return sum(cell.noise for cell in cells)
