"""RawPeriod: the consented rows of one closed period, and the bounded sums that may be measured from them.

What leaves `sums` and `retention` is exact: it goes into the noise of `mechanism` and nowhere else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from analytics.anonymise import domains
from analytics.anonymise.bounds import KEPT, SEEN
from analytics.anonymise.cubes import DIMENSIONS, MAX_KEYS, METRICS, Cube, Known
from analytics.anonymise.periods import Period


class Engine(Protocol):
    """The part of the store that a seal uses."""

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]: ...
    def command(self, sql: str, params: Mapping[str, Any] | None = None) -> Any: ...


@cache
def _sql(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8").strip()


def _statement(name: str) -> str:
    return _sql(name).replace("$contributions", _sql("contributions"))


class RawPeriod:
    """Rows of a site in a period, prepared in the engine's memory. Use as a context: leaving drops them."""

    def __init__(self, store: Engine, site: str, period: Period) -> None:
        self.site, self.period = site, period
        self._store = store
        # Which keys of a visitor are kept must not be foreseeable: the salt lives as long as this object.
        self._salt = secrets.token_hex(16)
        token = secrets.token_hex(6)
        self._tables = {name: f"seal_{name}_{token}" for name in ("hits", "visits", "joined")}
        self._made: set[str] = set()

    def __enter__(self) -> RawPeriod:
        window = {"site": self.site, "from": _stamp(self.period.start), "to": _stamp(self.period.end)}
        try:
            self._make("hits", window)
            self._make("visits", {})
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        for name in list(self._made):
            with contextlib.suppress(KeyError):
                self._store.command("DROP TABLE IF EXISTS {name:Identifier}", {"name": self._tables[name]})
                self._made.discard(name)

    def sums(self, cube: Cube, bounds: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """metric -> key -> clipped sum in sixteenths, for every metric in `bounds` (squared, in sixteenths)."""
        ordered = [bounds.get(metric, 0) for metric in METRICS]
        rows = self._store.query(_statement("cube"), {**self._parameters(cube), "bounds": ordered})
        sums: dict[str, dict[str, int]] = {metric: {} for metric in bounds}
        for key, amounts in rows:
            for metric, amount in zip(METRICS, amounts, strict=True):
                if metric in sums:
                    sums[metric][key] = int(amount)
        return sums

    def retention(
        self, cube: Cube, bounds: Mapping[str, int], retention: Mapping[str, int]
    ) -> dict[str, dict[str, int]]:
        """metric -> {kept, seen}: what clipping left and what there was, bounded by `retention` per visitor."""
        parameters = {
            **self._parameters(cube),
            "bounds": [bounds.get(metric, 0) for metric in METRICS],
            "retention_bounds": [retention.get(metric, 0) for metric in METRICS],
        }
        ((kept, seen),) = self._store.query(_statement("retention"), parameters)
        none = [0] * len(METRICS)
        pairs = zip(METRICS, kept or none, seen or none, strict=True)
        return {metric: {KEPT: int(k), SEEN: int(s)} for metric, k, s in pairs if metric in retention}

    def _parameters(self, cube: Cube) -> dict[str, Any]:
        dimensions = [DIMENSIONS[column] for column in cube.columns]
        levels = {dimension.level for dimension in dimensions}
        hit_level = "hit" in levels
        rows = "visits" if not hit_level else "joined" if "visit" in levels or "bounces" in cube.metrics else "hits"
        if rows == "joined" and "joined" not in self._made:
            self._make("joined", {})
        parameters: dict[str, Any] = {"rows": self._tables[rows], "max_keys": MAX_KEYS, "salt": self._salt}
        for number, place in enumerate(("first", "second")):
            dimension = dimensions[number] if number < len(dimensions) else None
            # With two known columns each is mapped by itself; a single one by the cube's own list.
            known = dimension.known if dimension and len(dimensions) == 2 else ()
            parameters |= {
                place: dimension.column if dimension else "nothing",
                f"empty_{place}": domains.NONE if dimension and not dimension.skip_empty else "",
                f"skip_{place}": int(dimension is not None and dimension.skip_empty),
                f"known_{place}": list(known) or [""],
                f"closed_{place}": int(bool(known)),
            }
        keys = list(cube.keys.keys) if isinstance(cube.keys, Known) else []
        return parameters | {
            "separator": domains.SEPARATOR if len(dimensions) == 2 else "",
            "known": keys or [""],
            "closed": int(bool(keys)),
        }

    def _make(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._made.add(name)
        self._store.command(_sql(f"period_{name}"), {**self._tables, **parameters})


def _stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.000")
