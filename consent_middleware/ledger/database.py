"""What the ledger asks of a database: named statements from .sql files, transactions, a writer number."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, Protocol

Row = tuple[Any, ...]
Parameters = Mapping[str, object]


class DatabaseError(Exception):
    """The database refused, is full, locked, read-only, or out of reach; the message says which."""


class Conflict(DatabaseError):
    """One write contradicts what is stored (its key is taken, a trigger refuses it); others may well succeed."""


class Database(Protocol):
    """One connection, used by one thread at a time. Every method raises DatabaseError."""

    def query(self, name: str, parameters: Parameters = ...) -> list[Row]: ...

    def stream(self, name: str, parameters: Parameters = ...) -> Iterator[Row]: ...

    def execute(self, name: str, rows: Iterable[Parameters]) -> None: ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def claim_writer(self) -> int:
        """The lowest writer number that nobody holds; held until `close`."""

    def purge(self) -> None:
        """Make what was deleted unreadable in the files too, as far as the database can."""

    def close(self) -> None: ...


@functools.cache
def statement(name: str) -> str:
    """The text of sql/queries/<name>.sql, with parameters written `:name`."""
    return (resources.files(__package__) / "sql" / "queries" / f"{name}.sql").read_text("utf-8").strip()


@functools.cache
def pyformat_statement(name: str) -> str:
    """The same with parameters written `%(name)s`, as psycopg wants them."""
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", statement(name).replace("%", "%%"))


def migrations(folder: str) -> list[tuple[int, str]]:
    """The numbered scripts of sql/<folder>, in order: (number, text)."""
    scripts = (resources.files(__package__) / "sql" / folder).iterdir()
    return sorted((int(script.name[:4]), script.read_text("utf-8")) for script in scripts if script.name[:4].isdigit())
