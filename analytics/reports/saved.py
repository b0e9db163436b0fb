"""What people define for a site: goals, segments, funnels, annotations. One SQLite file, mode 0600."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from analytics.reports import query as language
from analytics.reports.errors import QueryError
from analytics.reports.goals import Goal
from analytics.reports.query import And, Filter, HasDone, HasNotDone, Is, Not, Or, Query

Kind = Literal["goal", "segment", "funnel", "annotation", "letter"]
Name = Annotated[str, Meta(min_length=1, max_length=120)]


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Filters under a name; a query uses it as `["is", "segment", [7]]`."""

    name: Name
    filters: Annotated[tuple[Filter, ...], Meta(min_length=1, max_length=100)]


class Funnel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Goals by name, in the order in which a visit should reach them."""

    name: Name
    steps: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=8)]


class Annotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note on a day, drawn on the trend."""

    name: Name
    day: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A report by e-mail: `name` is the address, `last` the last day of the newest period that was sent."""

    name: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    every: Literal["day", "week", "month"] = "week"
    lane: Literal["internal", "released"] = "released"
    last: str = ""


Definition = Goal | Segment | Funnel | Annotation | Letter
TYPES: dict[Kind, type[Definition]] = {
    "goal": Goal,
    "segment": Segment,
    "funnel": Funnel,
    "annotation": Annotation,
    "letter": Letter,
}
T = TypeVar("T", bound=Definition)


class Saved:
    """Definitions of a data folder, by site and kind."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "reports.sqlite3"

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, timeout=5)
        try:
            with connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS definitions (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
                    "site TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (kind, site, name))"
                )
                yield connection
        finally:
            connection.close()

    def add(self, kind: Kind, site: str, definition: Definition) -> int:
        """Keep a definition; the same name again replaces it. The id. Raises QueryError for filters that no query may
        have."""
        if isinstance(definition, Segment):
            language.check_filters(definition.filters)
        body = msgspec.json.encode(definition)
        with self._open() as connection:
            row = connection.execute(
                "INSERT INTO definitions (kind, site, name, body) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (kind, site, name) DO UPDATE SET body = excluded.body RETURNING id",
                (kind, site, definition.name, body),
            ).fetchone()
            return int(row[0])

    def remove(self, kind: Kind, site: str, id_: int) -> bool:
        with self._open() as connection:
            where = (kind, site, id_)
            gone = connection.execute("DELETE FROM definitions WHERE kind = ? AND site = ? AND id = ?", where)
            return gone.rowcount > 0

    def all(self, kind: Kind, site: str) -> list[tuple[int, Any]]:
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, body FROM definitions WHERE kind = ? AND site = ? ORDER BY name", (kind, site)
            ).fetchall()
        return [(id_, msgspec.json.decode(body, type=TYPES[kind])) for id_, body in rows]

    def goals(self, site: str) -> tuple[Goal, ...]:
        return tuple(goal for _, goal in self.all("goal", site))

    def resolve(self, query: Query) -> Query:
        """The query with every segment replaced by its filters. Raises QueryError for one that is not there."""
        if not any(leaf.dimension == "segment" for leaf, _ in language.leaves(query.filters)):
            return query
        known = dict(self.all("segment", query.site_id))

        def one(filter_: Filter, path: str) -> Filter:
            match filter_:
                case And(inner):
                    return And(tuple(one(each, path) for each in inner))
                case Or(inner):
                    return Or(tuple(one(each, path) for each in inner))
                case Not(each):
                    return Not(one(each, path))
                case HasDone() | HasNotDone():
                    return filter_
                case Is("segment", clauses):
                    missing = [clause for clause in clauses if clause not in known]
                    if missing:
                        raise QueryError(path, f"there is no segment {missing[0]}")
                    return Or(tuple(And(known[clause].filters) for clause in clauses if isinstance(clause, int)))
                case _:
                    return filter_

        filters = tuple(one(filter_, f"$.filters[{n}]") for n, filter_ in enumerate(query.filters))
        return msgspec.structs.replace(query, filters=filters)
