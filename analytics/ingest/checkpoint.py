"""How far each log was imported: one small file a log, by which it is known again whatever its name and compression."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from analytics.ingest.logfile import LogFile
from analytics.ingest.marks import Marks
from consent_middleware.lazy import UserError

SALT_SECONDS: Final = 48 * 3600


class ImportState(msgspec.Struct):
    """How far one log was imported. The salt goes when the end is reached, and 48 hours after it was made at the
    latest."""

    identity: str
    site: str
    offset: int = 0  # bytes of text, uncompressed
    checksum: int = 0  # CRC-32 of the text up to the offset
    every: int = 0  # bytes between two marks
    marks: list[int] = []  # CRC-32 of the first `every`, 2 x `every`, ... bytes, up to the offset
    sending: list[tuple[int, int]] = []  # pieces behind the offset that may be in the store: length, CRC-32 at its end
    pieces: int = 0
    lines: int = 0
    rejected: dict[str, int] = {}
    salt: tuple[int, int] | None = None
    salted: float = 0.0  # seconds since 1970


class Known(msgspec.Struct):
    """A log, read up to what was imported of it, and its state. `nothing`: why nothing of it is to be imported."""

    log: LogFile
    state: ImportState
    marks: Marks
    nothing: str = ""


def identity(first_line: bytes) -> str:
    return hashlib.blake2b(first_line, digest_size=16).hexdigest()


def resume(folder: Path, path: Path, fresh: ImportState, *, again: bool = False) -> Known:
    """What is known of a log. Raises UserError; also when it was imported for another site, unless `again`.

    Two logs may begin with the same line: then the rest of what was imported tells them apart. A log that ends before
    that is a shorter copy when it agrees with every mark up to its end. So it is never imported twice; what is lost,
    when somebody changed the text behind its last mark by hand, is that change: at most one line of a log under 256
    KiB, at most a 2,000th of a longer one.
    """
    elsewhere: ImportState | None = None
    for number in itertools.count():
        known = folder / f"{fresh.identity}-{number}.json"
        if not known.exists():
            break
        state = msgspec.json.decode(known.read_bytes(), type=ImportState)
        found = _compare(path, state)
        if found is not None and state.site == fresh.site:
            return found
        if found is not None:
            found.log.close()
            elsewhere = state
    if elsewhere is not None and not again:
        raise UserError(
            f'{path}: {elsewhere.lines:,} lines of this log were imported for the site "{elsewhere.site}", and a log '
            f'belongs to one site: nothing was imported for "{fresh.site}". Name the other site (--site '
            f"{elsewhere.site}), or, when that import was the mistake, say --again"
        )
    fresh.identity = known.stem
    return Known(LogFile(path), fresh, Marks())


def _compare(path: Path, state: ImportState) -> Known | None:
    """The log as a continuation or a shorter copy of the one of this state; None when it is another."""
    log, marks = LogFile(path), Marks()
    _read(log, marks, state.offset)
    if log.read < state.offset and marks.begins(state.every, state.marks):
        cut = f" ({log.damage.what})" if log.damage else ""
        shorter = (
            f"this is a shorter copy of a log that was imported: its text ends at byte {log.read:,}{cut}, and "
            f"{state.offset:,} were imported"
        )
        return Known(log, state, marks, shorter)
    if log.read < state.offset or marks.checksum != state.checksum:
        log.close()
        return None
    if not state.sending:
        return Known(log, state, marks)
    ahead = [_read(log, marks, log.read + length) == checksum for length, checksum in state.sending]
    log.close()
    log, marks = LogFile(path), Marks()
    _read(log, marks, state.offset)
    # The store may hold pieces of which nobody knows whether they arrived: only the same bytes can tell.
    unlike = (
        ""
        if all(ahead)
        else "the import of a longer copy of this log was interrupted: import that one first, it goes "
        "on where it stopped"
    )
    return Known(log, state, marks, unlike)


def _read(log: LogFile, marks: Marks, end: int) -> int:
    """Read up to `end` bytes of text, where the log has them; the CRC-32 of the text so far."""
    buffer = memoryview(bytearray(4 * 1024 * 1024))
    while (left := end - log.read) > 0 and (count := log.readinto(buffer[:left])):
        marks.feed(buffer[:count])
    return marks.checksum


def write(folder: Path, state: ImportState) -> None:
    """Durable on return; a crash leaves the old file or the new one."""
    unfinished = folder / f".{state.identity}"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / f"{state.identity}.json")


def destroy_old_salts(data_dir: Path, now: float | None = None) -> int:
    """Take the salts of imports that nobody finished within 48 hours; how many.

    Such an import goes on under a new salt: a visitor on both sides of the gap counts as two.
    """
    now = time.time() if now is None else now
    taken = 0
    folder = Path(data_dir) / "imports"
    for path in folder.glob("*.json"):
        state = msgspec.json.decode(path.read_bytes(), type=ImportState)
        if state.salt is not None and state.salted < now - SALT_SECONDS:
            state.salt = None
            write(folder, state)
            taken += 1
    return taken
