"""Reading ahead: a thread of its own cuts a log into pieces while the engine starts and while it has others at hand."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from analytics.ingest.logfile import LogFile
from analytics.ingest.marks import Marks
from analytics.ingest.pieces import Piece, Slot, Stopped, pieces

FIRST_LINE: Final = 64 * 1024  # bytes among which it is looked for
GROWING_SECONDS: Final = 60.0
LANES: Final = 2  # pieces that the engine has at once
SLACK: Final = 64 * 1024  # more than what a piece lacks because it ends with a line


class Reading:
    """The pieces of a log, in their order: `LANES` of them are with the engine, one more is read.

    Who closes it gets every thread and every byte of it back, however far it came.
    """

    def __init__(
        self, log: LogFile, marks: Marks, piece_bytes: int, first: Sequence[int] = (), *, first_line: bytes = b""
    ) -> None:
        """`log` and `marks` stand where the first piece begins, and belong to this from now on. `first`: the lengths of
        the first pieces, where they were recorded."""
        self.log, self.first_line = log, first_line
        growing = time.time() - log.path.stat().st_mtime < GROWING_SECONDS
        size = _even(log, piece_bytes)
        self._closing = False
        self._slots = [Slot(size) for _ in range(LANES + 1)]
        self._free: SimpleQueue[Slot | None] = SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._read: SimpleQueue[Piece | BaseException | None] = SimpleQueue()
        self._pieces = pieces(log, self._take, size, first, marks, growing=growing)
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, path: Path, piece_bytes: int) -> Reading:
        """A log from its beginning. Raises UserError."""
        with LogFile(path) as look:
            first_line = look.first_line(FIRST_LINE)
        return cls(LogFile(path), Marks(), piece_bytes, first_line=first_line)

    def next(self) -> Piece | None:
        """The next piece; None behind the last one."""
        got = self._read.get()
        if isinstance(got, BaseException):
            raise got
        return got

    def give_back(self, slot: Slot) -> None:
        """The engine is done with what was in it."""
        self._free.put(slot)

    def close(self) -> None:
        """Once more is no harm."""
        self._closing = True
        self._free.put(None)
        self._thread.join()
        self.log.close()
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    def _take(self) -> Slot:
        slot = self._free.get()
        if slot is None or self._closing:
            raise Stopped
        return slot

    def _run(self) -> None:
        try:
            for piece in self._pieces:
                self._read.put(piece)
            self._read.put(None)
        except Stopped:
            pass
        except BaseException as error:  # it is raised where the piece is wanted
            self._read.put(error)


def _even(log: LogFile, most: int) -> int:
    """The size of pieces, at most `most` bytes, of which each lane of the engine gets as many as the other."""
    left = 0 if log.packing else log.path.stat().st_size - log.read
    if left <= most:
        return most
    turns = math.ceil(left / (most - SLACK) / LANES) if most > SLACK else 0
    return min(most, math.ceil(left / (turns * LANES)) + SLACK) if turns else most
