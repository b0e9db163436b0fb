"""RawPeriod -> seal -> SealedRelease: the only way from rows to something that may be shared."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics import __version__
from analytics.anonymise import bounds, cubes, curve, mechanism, sealed
from analytics.anonymise.budget import AlreadySealedError, Budget
from analytics.anonymise.paths import known_paths
from analytics.anonymise.periods import Period
from analytics.anonymise.raw import Engine, RawPeriod, Sums
from analytics.anonymise.sealed import Cell, SealedRelease, SealError
from analytics.anonymise.signing import Signer

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

__all__ = ["AlreadySealedError", "SealError", "TooEarlyError", "due", "due_in", "late_events", "plan_of", "seal"]


class TooEarlyError(SealError):
    """The period has not ended long enough ago."""


def plan_of(policy: PrivacyPolicy, site: str, period: Period) -> bounds.Plan:
    """What a seal of `period` would spend and how exact it would be; reads no rows. Raises CubeError, ValueError."""
    return bounds.plan(
        site,
        period,
        cubes.cubes_of(policy, known_paths(policy)),
        cubes.period_shares(policy),
        epsilon=policy.anonymity.epsilon,
        delta=policy.anonymity.delta,
    )


def seal(
    store: Engine,
    policy: PrivacyPolicy,
    site: str,
    period: Period,
    releases_dir: Path,
    *,
    signer: Signer | None = None,
    now: dt.datetime | None = None,
) -> SealedRelease:
    """Measure a closed period once, with noise, and write its release.

    Raises TooEarlyError, AlreadySealedError, OverspendError (before any row is read), CubeError, ValueError.
    """
    plan = plan_of(policy, site, period)
    now = now or dt.datetime.now(dt.UTC)
    ready = period.end + dt.timedelta(hours=policy.anonymity.seal_after_hours)
    if now < ready:
        raise TooEarlyError(
            f"{period} can be sealed from {ready:%Y-%m-%d %H:%M} UTC "
            f"({policy.anonymity.seal_after_hours} h after its end: anonymity.seal_after_hours)"
        )
    signer = signer or Signer.open(releases_dir.parent / "keys")
    with _alone(releases_dir), Budget(releases_dir) as budget:
        finish(budget, releases_dir)
        budget.check(plan)
        cells = measure(store, plan)
        parquet = sealed.write_parquet(cells)
        number, previous = budget.head(site)
        manifest = manifest_of(plan, policy, parquet, len(cells), number + 1, previous, now)
        signed = sealed.canonical(manifest)
        envelope = sealed.canonical({"manifest": manifest, "key": signer.public_key, "signature": signer.sign(signed)})
        budget.commit(plan, number + 1, hashlib.sha256(envelope).hexdigest(), parquet, envelope)
        finish(budget, releases_dir)
    return sealed.read_manifest(_folder(releases_dir, site) / f"{period.file_stem}.json")


def measure(store: Engine, plan: bounds.Plan) -> list[Cell]:
    """The noisy cells of a plan: exact sums live only inside this call."""
    return drawn(plan, RawPeriod(store, plan).sums())


def drawn(plan: bounds.Plan, sums: Sums) -> list[Cell]:
    """The noisy cells of exact sums: what `measure` does with what it counted."""
    draws = mechanism.Mechanism(plan)
    draws.open(sums)
    cells: list[Cell] = []
    released: dict[str, tuple[str, ...]] = {}
    for m in plan.measurements:
        found = draws.draw(m, released[m.cube] if m.kind == "selected" else None)
        if m.kind == "threshold":
            # The engine's order tells nothing, and a stable one makes files comparable.
            found = dict(sorted(found.items()))
            released[m.cube] = tuple(found)
        cells += [
            Cell(plan.site, str(plan.period), m.cube, key, m.metric, value / bounds.SCALE, m.sigma)
            for key, value in found.items()
        ]
    return cells


def due(policy: PrivacyPolicy, site: str, releases_dir: Path, now: dt.datetime, since: dt.date) -> Iterator[Period]:
    """Periods that ended long enough ago, are whole since `since`, and have no release yet; oldest first.

    `since` is the day of the oldest row. While it is younger than the retention the site began on it, and the week
    and month around it are whole; later, what came before it has expired, and a period that began earlier is not.
    """
    began = since > (now - dt.timedelta(days=policy.retention.raw_days)).date()
    with Budget(releases_dir) as budget:
        done = budget.sealed_periods(site)
    shares = cubes.period_shares(policy)
    present = cubes.cubes_of(policy, known_paths(policy))
    latest = now - dt.timedelta(hours=policy.anonymity.seal_after_hours)
    found: set[Period] = set()
    day = since
    while day < latest.date():
        for kind in cubes.PERIODS:
            period = Period.of(kind, day)
            wanted = shares[kind] > 0 and any(kind in cube.periods for cube in present)
            if wanted and (began or period.first >= since) and period.end <= latest and str(period) not in done:
                found.add(period)
        day += dt.timedelta(days=1)
    yield from sorted(found, key=lambda period: (period.end, period.kind))


def due_in(store: Engine, policy: PrivacyPolicy, site: str, releases_dir: Path, now: dt.datetime) -> list[Period]:
    """As `due`, since the first row of the site; nothing where there is none."""
    ((count, since),) = store.query(
        "SELECT count(), toDate(min(time)) FROM events WHERE site = {site:String} AND basis = 'consent'", {"site": site}
    )
    return list(due(policy, site, releases_dir, now, since)) if count else []


def late_events(store: Engine, release: SealedRelease) -> int:
    """How many rows of a sealed period arrived after its seal: they stay out of every release."""
    ((count,),) = store.query(
        "SELECT count() FROM events WHERE site = {site:String} AND time >= {from:DateTime64(3, 'UTC')} "
        "AND time < {to:DateTime64(3, 'UTC')} AND loaded > {sealed:DateTime('UTC')}",
        {
            "site": release.site,
            "from": release.period.start.strftime("%Y-%m-%d %H:%M:%S.000"),
            "to": release.period.end.strftime("%Y-%m-%d %H:%M:%S.000"),
            "sealed": dt.datetime.fromisoformat(release.manifest["sealed"]).strftime("%Y-%m-%d %H:%M:%S"),
        },
    )
    return int(count)


def finish(budget: Budget, releases_dir: Path) -> None:
    """Write what was committed and may not be on disk yet: the cells first, the manifest last."""
    for site, period, cells, manifest in budget.unwritten():
        folder = _folder(releases_dir, site)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        sealed.write_once(folder / f"{period.file_stem}.parquet", cells)
        sealed.write_once(folder / f"{period.file_stem}.json", manifest)
        budget.written(site, period)


def _folder(releases_dir: Path, site: str) -> Path:
    if not site or site.startswith(".") or "/" in site or "\0" in site:
        raise SealError(f'"{site}" is not a site name that a folder can have')
    return releases_dir / site


@contextlib.contextmanager
def _alone(releases_dir: Path) -> Iterator[None]:
    releases_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (releases_dir / "seal.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SealError(f"{releases_dir}: another process is sealing") from None
        yield


def manifest_of(
    plan: bounds.Plan, policy: PrivacyPolicy, parquet: bytes, rows: int, number: int, previous: str, now: dt.datetime
) -> dict[str, Any]:
    """The statement that is signed: all that was promised, spent and drawn; no exact number."""
    promise = plan.promise
    return {
        "format": sealed.FORMAT,
        "site": plan.site,
        "period": str(plan.period),
        "from": plan.period.start.isoformat(),
        "to": plan.period.end.isoformat(),
        "number": number,
        "previous": previous,
        "sealed": now.astimezone(dt.UTC).isoformat(timespec="seconds"),
        "software": f"consent-middleware {__version__}",
        "mechanism": f"discrete Gaussian, OpenDP {_opendp_version()}",
        "policy": {"revision": policy.revision, "fingerprint": policy.fingerprint},
        "unit": f"one visitor cookie in one {plan.period.kind} (UTC), rows captured with consent",
        "promise": {
            "epsilon": promise.epsilon,
            "delta": promise.delta,
            "meaning": "the day's, the week's and the month's release together, for a visitor who comes on one day",
            "rho": promise.rho,
            "shares": plan.shares,
        },
        "spent": {
            "rho": plan.rho,
            "delta": plan.delta,
            "epsilon": plan.epsilon,
            "every_day_of_a_month": every_day(plan),
        },
        "measurements": [
            {
                "cube": m.cube,
                "metric": m.metric,
                "keys": m.kind,
                "l2": m.l2 / bounds.SCALE,
                "sigma": m.sigma,
                "rho": m.rho,
                **({"tau": m.tau / bounds.SCALE, "delta": m.delta} if m.tau is not None else {}),
            }
            for m in plan.measurements
        ],
        "columns": list(sealed.COLUMNS),
        "file": {
            "name": f"{plan.period.file_stem}.parquet",
            "sha256": hashlib.sha256(parquet).hexdigest(),
            "bytes": len(parquet),
            "rows": rows,
        },
    }


def every_day(plan: bounds.Plan) -> dict[str, float]:
    """Epsilon for a visitor who comes on each of 31 days, which lie in at most six weeks, at 31 times delta's part.

    Every release that holds one of those days counts: 31 daily ones, six weekly ones, one monthly one.
    """
    times = {"day": 31, "week": 6, "month": 1}
    promise = plan.promise
    weight = sum(plan.shares[kind] * number for kind, number in times.items())
    daily = math.sqrt(plan.shares["day"] * times["day"]) * promise.mu
    thresholds = promise.threshold_delta * weight
    gaussian = promise.delta - promise.threshold_delta
    return {
        "epsilon": curve.epsilon_of(math.sqrt(weight) * promise.mu, gaussian),
        "delta": gaussian + thresholds,
        "epsilon_of_daily_releases_alone": curve.epsilon_of(daily, gaussian),
    }


def _opendp_version() -> str:
    from importlib.metadata import version

    return version("opendp")
