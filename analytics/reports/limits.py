"""What one question may take of the engine, and how it is told that it took more."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeGuard

from analytics.reports import running
from analytics.reports.errors import QueryTimeout

QUERY_SECONDS: Final = 30
QUERY_BYTES: Final = 340_000_000
# A large grouping goes to the disk (the private TMPDIR) early, so that few files are open at once; each of them has a
# buffer while they are put together, which is a megabyte unless it is told otherwise.
SPILL_BYTES: Final = 60_000_000
LIMITS: dict[str, int | str] = {
    "max_execution_time": QUERY_SECONDS,
    "max_memory_usage": QUERY_BYTES,
    "max_bytes_before_external_group_by": SPILL_BYTES,
    "temporary_files_buffer_size": 65_536,
    "local_filesystem_read_method": "pread",  # no buffers that read ahead
}
# A statement that reads more rows than this waits for its turn, and may take the longer: it holds up no small one.
LARGE_ROWS: Final = 500_000
LARGE_SECONDS: Final = 180
LARGE: dict[str, int | str] = {"max_execution_time": LARGE_SECONDS, "max_threads": 2}
# Of a small statement in the embedded engine, which would take one thread as long as less than a gigabyte for each is
# free. A large one is left to that rule: what it groups by is memory, of each thread.
SMALL: dict[str, int | str] = {
    "max_threads": min(os.cpu_count() or 1, 4),
    "max_threads_min_free_memory_per_thread": 0,
}
# The engine looks for its limits, and for a stop, between two blocks of rows only. Hundreds of words to look for in
# each row would make one block last longer than a whole query may: the more words, the fewer rows.
BLOCK_ROWS: Final = 65_409
BLOCK_WORDS: Final = 16
LEAST_ROWS: Final = 1024
TOO_LONG = (
    f"the query took longer than the {QUERY_SECONDS} seconds ({LARGE_SECONDS} for one that reads more than "
    f"{LARGE_ROWS:,} rows) that one may take: a shorter period, fewer dimensions or fewer filters help"
)
TOO_LARGE = (
    f"the query needed more than the {QUERY_BYTES // 1_000_000} MB of memory that one may take: "
    "a shorter period or fewer dimensions help"
)
NO_ROOM = "the engine has no memory left for the query at this moment: ask again in a while"


class Engine(Protocol):
    """What an answer needs of the store."""

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> list[tuple[Any, ...]]: ...


def ask(engine: Engine, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Run one statement under the limits. Raises QueryTimeout when it reached one, QueryRefused when there was no room
    for it; other errors are passed on."""
    parameters = {name: parameter(value) for name, value in values.items()}
    words = sql.count("match(") + sum(len(value) for value in values.values() if _words(value))
    rows = max(LEAST_ROWS, BLOCK_ROWS * BLOCK_WORDS // max(words, BLOCK_WORDS))
    try:
        found = engine.query(sql, parameters, **LIMITS, max_block_size=rows)
    except Exception as error:
        code, text = getattr(error, "code", 0), str(error)
        if code in (159, 160) or re.search(r"TIMEOUT_EXCEEDED|TOO_SLOW", text):
            raise QueryTimeout(TOO_LONG) from error
        if code == 241 or "MEMORY_LIMIT_EXCEEDED" in text:
            raise QueryTimeout(TOO_LARGE) from error
        raise
    running.finished()
    return found


def _words(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def parameter(value: object) -> object:
    """A value as the engine takes it: instants in UTC with milliseconds, days in ISO, arrays as lists."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    return value.isoformat() if isinstance(value, dt.date) else value
