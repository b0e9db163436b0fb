"""The copy of one visitor's rows at the desk: as of when it is, and when a newer one may be asked for.

Beside `answers/<ticket>.json` lies `answers/<ticket>.asked` with two numbers, ms since 1970: when a copy was last asked
for, and the moment before which no copy is true any more. It is shared by all workers of the host.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from consent_middleware.rights.desk import answer_path, mark_path

# One request a minute for each visitor, over all workers of the host: nobody can flood the spool by asking again.
ASK_SECONDS: Final = 60


class Copy(msgspec.Struct, frozen=True):
    """A copy to show: the answer as JSON. `renewing`: a newer one was asked for and is not there yet."""

    answer: bytes
    as_of: int  # ms since 1970: every row of before is in it
    renewing: bool


class _Mark(msgspec.Struct, frozen=True):
    asked: int = 0
    floor: int = 0


class _Dated(msgspec.Struct):
    as_of: dt.datetime | None = None


def look(data_dir: Path, ticket: str, answer: bytes | None, now: float) -> tuple[Copy | None, bool]:
    """The copy that may be shown, and whether the caller has to ask for a newer one: then nobody else is told so.

    `answer` is what the desk has for the ticket, `now` in seconds. Raises OSError.
    """
    at = int(now * 1000)
    with _marked(data_dir, ticket) as fd:
        mark = _read(fd)
        # A mark of the future was made before the clock was set back: it holds nobody up.
        asking = not 0 <= at - mark.asked < ASK_SECONDS * 1000
        if asking:
            mark = _Mark(at, mark.floor)
            _write(fd, mark)
    if answer is None:
        return None, asking
    as_of = _as_of(answer, answer_path(data_dir, ticket), at)
    if as_of < mark.floor:
        return None, asking
    return Copy(answer, as_of, renewing=as_of < mark.asked), asking


def outdate(data_dir: Path, ticket: str, now: float) -> None:
    """No copy of before `now` is true any more, one that is still being prepared included; ask anew at once."""
    with _marked(data_dir, ticket) as fd:
        _write(fd, _Mark(0, int(now * 1000)))


@contextlib.contextmanager
def _marked(data_dir: Path, ticket: str) -> Iterator[int]:
    """The mark of a ticket, open, and nobody else's until the block ends."""
    path = mark_path(data_dir, ticket)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _read(fd: int) -> _Mark:
    try:
        asked, floor = os.pread(fd, 64, 0).split()
        return _Mark(int(asked), int(floor))
    except ValueError:  # it is new, or a full disk cut it
        return _Mark()


def _write(fd: int, mark: _Mark) -> None:
    os.ftruncate(fd, 0)
    with contextlib.suppress(OSError):  # a full disk refuses the request itself, which says so
        os.pwrite(fd, b"%d %d" % (mark.asked, mark.floor), 0)


def _as_of(answer: bytes, path: Path, at: int) -> int:
    with contextlib.suppress(msgspec.DecodeError, FileNotFoundError):
        dated = msgspec.json.decode(answer, type=_Dated).as_of
        return int(dated.timestamp() * 1000) if dated is not None else path.stat().st_mtime_ns // 1_000_000
    return at
