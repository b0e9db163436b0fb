"""RawPeriod: the consented rows of one closed period, and the bounded sums that may be measured from them.

What leaves `sums` is exact: it goes into the noise of `mechanism` and nowhere else. Long periods are worked through in
buckets of visitors, so that memory does not grow with the period; every bound is one visitor's, so sums just add up.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from analytics.anonymise import domains
from analytics.anonymise.bounds import PARTS, Measurement, Plan
from analytics.anonymise.cubes import DIMENSIONS, MAX_KEYS, METRICS, Cube, Known

ROWS_IN_A_BUCKET = 1_500_000
MAX_BUCKETS = 1000

# The keys that `cube_retention.sql` adds; no word's hash is so small.
_PARTS = dict(enumerate(PARTS))

Sums = dict[str, dict[str, int]]


class Engine(Protocol):
    """The part of the store that a seal uses."""

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]: ...
    def command(self, sql: str, params: Mapping[str, Any] | None = None) -> Any: ...


@cache
def _sql(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8").strip()


def _statement(name: str, rows: str, metrics: Iterable[str], *, pair: bool) -> str:
    """A statement with the rows that it counts, and the lines of these metrics, of one column or of two only."""
    text = _sql(name).replace("$contributions", _sql("contributions")).replace("$rows", _sql(f"rows_{rows}"))
    unwanted = tuple(f"-- metric {n}" for n, metric in enumerate(METRICS, 1) if metric not in metrics)
    unwanted += ("-- single" if pair else "-- pair",)
    return "\n".join(line for line in text.splitlines() if not line.endswith(unwanted))


class RawPeriod:
    """The rows that a plan may measure."""

    def __init__(self, store: Engine, plan: Plan, *, rows_in_a_bucket: int = ROWS_IN_A_BUCKET) -> None:
        self._store = store
        self._plan = plan
        self._rows_in_a_bucket = rows_in_a_bucket
        # Which keys of a visitor are kept must not be foreseeable: the salt lives as long as this object.
        self._salt = secrets.token_hex(16)
        token = secrets.token_hex(6)
        self._tables = {name: f"seal_{name}_{token}" for name in ("hits", "visits", "profiles")}
        self._window = {
            "site": plan.site,
            "from": plan.period.start.strftime("%Y-%m-%d %H:%M:%S.000"),
            "to": plan.period.end.strftime("%Y-%m-%d %H:%M:%S.000"),
        }
        # In milliseconds: since 1970, and since the Monday before.
        self._clock = {
            "start": round(plan.period.start.timestamp() * 1000),
            "monday": plan.period.first.weekday() * 86_400_000,
        }

    def sums(self) -> Sums:
        """Label of each measurement of the plan -> key -> bounded sum in sixteenths."""
        totals: Sums = {measurement.label: {} for measurement in self._plan.measurements}
        try:
            self._make("profiles", {})
            words = self._words()
            buckets = self._buckets()
            for bucket in range(buckets):
                self.lay_out(buckets, bucket)
                for cube in self._plan.cubes:
                    asked = [m for m in self._plan.measurements if m.cube == cube.name]
                    for label, key, amount in self._measured(cube, asked, words):
                        totals[label][key] = totals[label].get(key, 0) + amount
        finally:
            for name in self._tables:
                self._drop(name)
        return totals

    def lay_out(self, buckets: int = 1, bucket: int = 0) -> None:
        """Make the tables of hits and visits of one bucket of visitors."""
        hours = {"hours": list(domains.WEEKDAY_HOURS)}
        self._make("hits", {"buckets": buckets, "bucket": bucket, **hours, **self._clock})
        lengths = {"lengths": list(domains.VISIT_LENGTHS), "edges": list(domains.VISIT_LENGTH_EDGES)}
        self._make("visits", lengths)

    def _measured(
        self, cube: Cube, asked: list[Measurement], words: Mapping[int, str]
    ) -> Iterable[tuple[str, str, int]]:
        rows, parameters = self._parameters(cube)
        parameters |= self._bounds(asked)
        pair = len(cube.columns) == 2
        metrics = [metric for metric in METRICS if any(m.metric == metric for m in asked)]
        labels = {m.label for m in asked}
        names = {**words, **self._pairs(rows, parameters, words)} if pair else words
        retained = any(m.kind == "retention" for m in asked)
        statement = _statement("cube_retention" if retained else "cube", rows, metrics, pair=pair)
        for *amounts, key in self._store.query(statement, parameters):
            part = _PARTS.get(key)
            name = "" if part or not cube.columns else names[key]
            for metric, amount in zip(metrics, amounts, strict=True):
                label = f"{cube.name}/{metric}" + (f"-{part}" if part else "")
                if label in labels:
                    yield label, name, int(amount)

    @staticmethod
    def _bounds(asked: Iterable[Measurement]) -> dict[str, int]:
        """The squared bounds of each metric, and the bounds of what it kept and lost; 0 for what is not measured."""
        by_metric = {m.metric: m for m in asked}
        found = {}
        for number, metric in enumerate(METRICS, 1):
            found[f"bound_{number}"] = by_metric[metric].bound_squared if metric in by_metric else 0
            for part in PARTS:
                measured = by_metric.get(f"{metric}-{part}")
                found[f"{part}_{number}"] = measured.linf if measured else 0
        return found

    def _parameters(self, cube: Cube) -> tuple[str, dict[str, Any]]:
        """Which rows the cube counts, and the parameters of its statement."""
        dimensions = [DIMENSIONS[column] for column in cube.columns]
        levels = {dimension.level for dimension in dimensions} or {"visit"}
        of_visits = {"visits", "bounces"} & set(cube.metrics)
        rows = "visits" if levels == {"visit"} else "hits" if levels == {"hit"} and not of_visits else "joined"
        rows = rows if dimensions else "total"
        parameters: dict[str, Any] = {**self._tables, "max_keys": MAX_KEYS, "salt": self._salt}
        for number, place in enumerate(("first", "second")):
            dimension = dimensions[number] if number < len(dimensions) else None
            # Of two columns each is mapped to its own domain first; a single one to the cube's list at once.
            known = dimension.known if dimension and len(dimensions) == 2 else ()
            parameters |= {
                place: dimension.column if dimension else "visitor",
                f"skip_{place}": int(dimension is not None and dimension.skip_empty),
                f"known_{place}": [_stored(word) for word in known] or [""],
                f"closed_{place}": int(bool(known)),
            }
        keys = cube.keys.keys if isinstance(cube.keys, Known) else ()
        halves = [key.partition(domains.SEPARATOR) if len(dimensions) == 2 else (key, "", "") for key in keys]
        return rows, parameters | {
            "known_left": [_stored(left) for left, _, _ in halves] or [""],
            "known_right": [_stored(right) for _, _, right in halves] or [""],
            "closed": int(bool(keys) and bool(dimensions)),
        }

    def _words(self) -> dict[int, str]:
        """Hash -> word as it is released."""
        fixed = [domains.OTHER, "", *domains.WEEKDAY_HOURS, *domains.VISIT_LENGTHS]
        found = self._store.query(
            _sql("seal_words"), {**self._window, "profiles": self._tables["profiles"], "words": fixed}
        )
        return {int(key): word or domains.NONE for key, word in found}

    def _pairs(self, rows: str, parameters: Mapping[str, Any], words: Mapping[int, str]) -> dict[int, str]:
        found = self._store.query(_statement("pairs", rows, METRICS, pair=True), dict(parameters))
        pairs = {key: f"{words[left]}{domains.SEPARATOR}{words[right]}" for key, left, right, *_ in found}
        other = [key for key, word in words.items() if word == domains.OTHER]
        return pairs | dict.fromkeys(other, domains.OTHER)

    def _buckets(self) -> int:
        ((count,),) = self._store.query(
            "SELECT count() FROM events WHERE site = {site:String} "
            "AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}",
            self._window,
        )
        return min(MAX_BUCKETS, max(1, -(-int(count) // self._rows_in_a_bucket)))

    def _make(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._drop(name)
        self._store.command(_sql(f"seal_{name}"), {**self._window, **self._tables, **parameters})

    def _drop(self, name: str) -> None:
        self._store.command("DROP TABLE IF EXISTS {name:Identifier}", {"name": self._tables[name]})


def _stored(word: str) -> str:
    return "" if word == domains.NONE else word
