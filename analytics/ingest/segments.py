"""Reading the spool: which segments there are, which of their bytes can be believed, and who still writes."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from consent_middleware.open_segment import boot_id
from consent_middleware.spool_values import Control

log = logging.getLogger("analytics")

OWNER_GRACE_SECONDS: Final = 60.0
# A worker syncs its newest rows within a second (SpoolLimits.sync_seconds); before that, the loader can't take them.
SYNCED_SECONDS: Final = 3.0


class Block(msgspec.Struct, frozen=True):
    """Rows that were synced together. `checksum` is None for what a killed worker wrote after its last sync."""

    start: int
    end: int
    rows: int
    checksum: int | None


class Segment(msgspec.Struct, frozen=True):
    """One segment as it is now. `finished`: nobody will append to it any more."""

    name: str  # worker/number
    path: Path
    blocks: tuple[Block, ...]
    finished: bool
    torn: int  # bytes behind the last block that can't be believed
    born: float  # seconds since 1970
    unsynced: bool = False  # a living worker has rows behind the last block: they are not to be had yet

    @property
    def end(self) -> int:
        return self.blocks[-1].end if self.blocks else 0

    @property
    def controls(self) -> Path:
        return self.path.with_suffix(".control")

    def remove(self) -> None:
        for suffix in (".control", ".rows", ".blocks"):  # a segment without its blocks would look new
            self.path.with_suffix(suffix).unlink(missing_ok=True)


def owner_lives(worker: Path) -> bool:
    """Does the process that writes into this folder still run? Its lock says so, not its number."""
    try:
        with (worker / "owner.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return time.time() - worker.stat().st_mtime < OWNER_GRACE_SECONDS
    except OSError:
        return True


def segments(spool: Path) -> Iterator[Segment]:
    """All segments, oldest first within each worker."""
    try:
        workers = sorted(path for path in spool.iterdir() if path.is_dir())
    except FileNotFoundError:
        return
    for worker in workers:
        with contextlib.suppress(FileNotFoundError):
            lives = owner_lives(worker)
            found: list[Segment] = []
            followed = not lives
            # Last things first: a worker that goes on in the next segment, which may have lain ready without a row,
            # never comes back. So no row is shown here without all that came before it.
            for path in sorted(worker.glob("*.blocks"), reverse=True):
                found.append(_read(path.with_suffix(".rows"), still_written=not followed))
                followed = followed or bool(found[-1].blocks) or found[-1].unsynced
            yield from reversed(found)


def remove_empty_workers(spool: Path) -> None:
    """Take away the folders of workers that are gone and left nothing."""
    with contextlib.suppress(FileNotFoundError):
        for worker in [path for path in spool.iterdir() if path.is_dir()]:
            left = [entry.name for entry in os.scandir(worker)]
            if left in ([], ["owner.lock"]) and not owner_lives(worker):
                (worker / "owner.lock").unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    worker.rmdir()


def _read(path: Path, *, still_written: bool) -> Segment:
    lines = path.with_suffix(".blocks").read_bytes().split(b"\n")
    header = lines[0].split(b" ") if lines else []
    boot = header[2].decode("latin-1") if len(header) > 2 else ""
    try:
        size = path.stat().st_size
        born = path.stat().st_mtime
    except FileNotFoundError:  # a worker is making it, or a loader ended while taking it away
        size, born = 0, time.time()
    with contextlib.suppress(ValueError, IndexError):  # a damaged header must not hold up the others
        born = float(header[3])
    blocks: list[Block] = []
    start = 0
    closed = False
    for line in lines[1:-1]:  # what has no newline was not written whole
        fields = line.split(b" ")
        if line == b"end":
            closed = True
        elif len(fields) == 3:
            with contextlib.suppress(ValueError):
                end, rows, checksum = int(fields[0]), int(fields[1]), int(fields[2], 16)
                if end > start:
                    blocks.append(Block(start, end, rows, checksum))
                    start = end
    finished = closed or not still_written
    torn = 0
    if finished and not closed and size > start:
        # Zeros are room that was never written to. No row holds one, unless it was torn.
        tail = _bytes(path, start, size).partition(b"\0")[0]
        # The page cache outlives a killed process, not the machine: after a restart the tail may be anything.
        keep = tail.rfind(b"\n") + 1 if boot == boot_id() else 0
        torn = len(tail) - keep
        if keep:
            blocks.append(Block(start, start + keep, tail.count(b"\n", 0, keep), None))
    # Looked at after the blocks: a row of before is in a block or seen here.
    unsynced = not finished and _has_row(path, start)
    return Segment(f"{path.parent.name}/{path.stem}", path, tuple(blocks), finished, torn, born, unsynced)


def _has_row(path: Path, start: int) -> bool:
    """Whether a row begins there: zeros are room that was never written to."""
    try:
        return _bytes(path, start, start + 1) not in (b"", b"\0")
    except FileNotFoundError:  # a worker is making it, or a loader ended while taking it away
        return False


def _bytes(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def read_block(segment: Segment, block: Block) -> bytes | None:
    """The bytes of a block, or None when they are not what was written."""
    data = _bytes(segment.path, block.start, block.end)
    if len(data) != block.end - block.start or not data.endswith(b"\n"):
        return None
    if block.checksum is not None and zlib.crc32(data) != block.checksum:
        return None
    return data


def read_controls(
    segment: Segment, offset: int, may_go: Callable[[Control], bool] = lambda control: True
) -> tuple[list[Control], int]:
    """Control records behind `offset` up to the first that may not go yet, and the offset behind the last of them."""
    try:
        data = segment.controls.read_bytes()[offset:]
    except FileNotFoundError:
        return [], offset
    decoder = msgspec.json.Decoder(Control)
    found = []
    for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
        try:
            control = decoder.decode(line)
            if not may_go(control):
                break
            found.append(control)
        except msgspec.MsgspecError:  # was never acknowledged; it must not hold up the ones that were
            log.warning("%s: a control record of %d bytes can't be read and is left out", segment.name, len(line))
        offset += len(line)
    return found, offset
