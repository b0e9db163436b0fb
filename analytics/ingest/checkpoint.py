"""How far each log was imported: one small file a log, by which it is known again whatever its name and compression."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
import zlib
from pathlib import Path
from typing import Final

import msgspec

from analytics.ingest.logfile import LogFile

SALT_SECONDS: Final = 48 * 3600
FIRST_LINE: Final = 64 * 1024


class ImportState(msgspec.Struct):
    """How far one log was imported. The salt goes when the end is reached, and 48 hours after it was made at the
    latest."""

    identity: str
    offset: int = 0  # bytes of text, uncompressed
    sending: list[int] = []  # lengths of the pieces behind it that may be in the store already
    checksum: int = 0  # CRC-32 of the text up to the offset
    pieces: int = 0
    lines: int = 0
    rejected: dict[str, int] = {}
    salt: tuple[int, int] | None = None
    salted: float = 0.0  # seconds since 1970


def identity(first_line: bytes) -> str:
    return hashlib.blake2b(first_line, digest_size=16).hexdigest()


def resume(folder: Path, path: Path, fresh: ImportState) -> tuple[LogFile, ImportState]:
    """The log, read up to what was imported of it, and its state. Raises UserError.

    Two logs may begin with the same line: then the rest of what was imported tells them apart.
    """
    for number in itertools.count():
        known = folder / f"{fresh.identity}-{number}.json"
        log = LogFile(path)
        if not known.exists():
            fresh.identity = known.stem
            return log, fresh
        state = msgspec.json.decode(known.read_bytes(), type=ImportState)
        if _skip(log, state.offset) == state.checksum and log.read == state.offset:
            return log, state
        log.close()
    raise AssertionError


def _skip(log: LogFile, length: int) -> int:
    """Read `length` bytes of text; their CRC-32."""
    buffer = memoryview(bytearray(4 * 1024 * 1024))
    checksum = 0
    while (left := length - log.read) > 0 and (count := log.readinto(buffer[:left])):
        checksum = zlib.crc32(buffer[:count], checksum)
    return checksum


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
