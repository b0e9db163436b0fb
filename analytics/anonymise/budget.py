"""The project's own account of what was spent: one row per sealed period, added in the same transaction as its bytes.

A draw becomes a release by one commit here. Before it nothing has left the process; after it the files are written from
the bytes kept here, however often the process is killed. So noise is drawn once, and no crash loses or doubles a seal.
"""

from __future__ import annotations

import datetime as dt
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analytics.anonymise import bounds, curve
from analytics.anonymise.cubes import MAX_KEYS
from analytics.anonymise.mechanism import OverspendError
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import GENESIS, SealedRelease, SealError, releases

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    site TEXT NOT NULL, number INTEGER NOT NULL, period TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
    rho REAL NOT NULL, delta REAL NOT NULL, manifest_sha256 TEXT NOT NULL,
    PRIMARY KEY (site, period), UNIQUE (site, number)
) STRICT;
CREATE TRIGGER IF NOT EXISTS spent_is_final BEFORE UPDATE ON spent
    BEGIN SELECT RAISE(ABORT, 'spent is append-only'); END;
CREATE TRIGGER IF NOT EXISTS spent_stays BEFORE DELETE ON spent
    BEGIN SELECT RAISE(ABORT, 'spent is append-only'); END;
CREATE TABLE IF NOT EXISTS unwritten (
    site TEXT NOT NULL, period TEXT NOT NULL, cells BLOB NOT NULL, manifest BLOB NOT NULL, PRIMARY KEY (site, period)
) STRICT;
"""
# Sums of floating-point shares: one part in a billion is not an overspend.
_TOLERANCE = 1 + 1e-9


class AlreadySealedError(SealError):
    """The period has its release; there is never a second draw."""


class Budget:
    """The account of a folder of releases."""

    def __init__(self, releases_dir: Path) -> None:
        releases_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._database = sqlite3.connect(releases_dir / "budget.sqlite3", isolation_level=None, timeout=30)
        self._database.execute("PRAGMA journal_mode = DELETE")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._restore(releases(releases_dir))

    def _restore(self, found: Iterable[SealedRelease]) -> None:
        """A lost account is filled again from the manifests: what was published was spent."""
        for release in found:
            spent = release.manifest["spent"]
            self._insert(
                release.site, release.manifest["number"], release.period, spent["rho"], spent["delta"],
                release.manifest_sha256, "OR IGNORE",
            )  # fmt: skip

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Budget:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def check(self, plan: bounds.Plan) -> None:
        """Raises AlreadySealedError, or OverspendError naming the first day on which the promise would be broken."""
        site, period = plan.site, plan.period
        if self._database.execute("SELECT 1 FROM spent WHERE site = ? AND period = ?", (site, str(period))).fetchone():
            raise AlreadySealedError(f"{period} of {site} is sealed already; noise is drawn once")
        overlapping = self._database.execute(
            "SELECT period, rho, delta FROM spent WHERE site = ? AND first <= ? AND last >= ?",
            (site, period.last.isoformat(), period.first.isoformat()),
        ).fetchall()
        spends = [(Period.parse(text), rho, delta) for text, rho, delta in overlapping]
        for day, (rho, delta) in _by_day([*spends, (period, plan.rho, plan.delta)]).items():
            if not period.first <= day <= period.last:
                continue
            if rho > plan.promise.rho * _TOLERANCE or delta > plan.promise.threshold_delta * _TOLERANCE:
                raise OverspendError(
                    f"{period} of {site} would spend rho {rho:.6g} on {day}, the promise (epsilon "
                    f"{plan.promise.epsilon:g}, delta {plan.promise.delta:g}) allows {plan.promise.rho:.6g}"
                )

    def head(self, site: str) -> tuple[int, str]:
        """Number and hash of the site's last manifest."""
        row = self._database.execute(
            "SELECT number, manifest_sha256 FROM spent WHERE site = ? ORDER BY number DESC LIMIT 1", (site,)
        ).fetchone()
        return (int(row[0]), str(row[1])) if row else (0, GENESIS)

    def commit(self, plan: bounds.Plan, number: int, manifest_sha256: str, cells: bytes, manifest: bytes) -> None:
        """Spend, and keep the bytes until they are written. Raises as `check`."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self.check(plan)
            self._insert(plan.site, number, plan.period, plan.rho, plan.delta, manifest_sha256)
            self._database.execute(
                "INSERT INTO unwritten VALUES (?, ?, ?, ?)", (plan.site, str(plan.period), cells, manifest)
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def unwritten(self) -> list[tuple[str, Period, bytes, bytes]]:
        """Releases that were committed and whose files may be missing."""
        rows = self._database.execute("SELECT site, period, cells, manifest FROM unwritten").fetchall()
        return [(site, Period.parse(period), cells, manifest) for site, period, cells, manifest in rows]

    def written(self, site: str, period: Period) -> None:
        self._database.execute("DELETE FROM unwritten WHERE site = ? AND period = ?", (site, str(period)))

    def sealed_periods(self, site: str) -> set[str]:
        return {str(row[0]) for row in self._database.execute("SELECT period FROM spent WHERE site = ?", (site,))}

    def _insert(
        self, site: str, number: int, period: Period, rho: float, delta: float, sha256: str, conflict: str = ""
    ) -> None:
        self._database.execute(
            f"INSERT {conflict} INTO spent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (site, number, str(period), period.first.isoformat(), period.last.isoformat(), rho, delta, sha256),
        )


def _by_day(spends: Iterable[tuple[Period, float, float]]) -> dict[dt.date, tuple[float, float]]:
    totals: dict[dt.date, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for period, rho, delta in spends:
        for day in period.days:
            before = totals[day]
            totals[day] = (before[0] + rho, before[1] + delta)
    return dict(totals)


def contradictions(manifest: Mapping[str, Any]) -> list[str]:
    """Where a manifest spends more than it says: by the noise and thresholds that it states, or in its sums."""
    found = []
    measurements = manifest["measurements"]
    for m in measurements:
        name = f"{m['cube']}/{m['metric']}"
        if m["rho"] * _TOLERANCE < (m["l2"] / m["sigma"]) ** 2 / 2:
            found.append(f"{name}: a measurement spends more than it states")
        if "tau" in m and m["delta"] * _TOLERANCE < _delta(m):
            found.append(f"{name}: a threshold is lower than its delta allows")
    for what in ("rho", "delta"):
        if math.fsum(m.get(what, 0.0) for m in measurements) > manifest["spent"][what] * _TOLERANCE:
            found.append(f"the measurements do not add up to what is stated as spent ({what})")
    return found


def _delta(m: Mapping[str, Any]) -> float:
    """Of a threshold: one visitor adds to MAX_KEYS keys at most, to each no more than 1."""
    most = min(bounds.SCALE, math.floor(bounds.SCALE * m["l2"])) / bounds.SCALE
    return MAX_KEYS * curve.upper_tail((m["tau"] - most) / m["sigma"])


def overspent_days(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Days on which the manifests of one site together spend more than the largest promise among them."""
    spends: list[tuple[Period, float, float]] = []
    allowed: dict[dt.date, tuple[float, float]] = {}
    for manifest in manifests:
        period = Period.parse(manifest["period"])
        spends.append((period, float(manifest["spent"]["rho"]), float(manifest["spent"]["delta"])))
        promise = bounds.promise(manifest["promise"]["epsilon"], manifest["promise"]["delta"])
        for day in period.days:
            before = allowed.get(day, (0.0, 0.0))
            allowed[day] = (max(before[0], promise.rho), max(before[1], promise.threshold_delta))
    return [
        f"{day}: rho {rho:.6g} and delta {delta:.3g} were spent, "
        f"the promise allows {allowed[day][0]:.6g} and {allowed[day][1]:.3g}"
        for day, (rho, delta) in sorted(_by_day(spends).items())
        if rho > allowed[day][0] * _TOLERANCE or delta > allowed[day][1] * _TOLERANCE
    ]
