"""Pieces of a log: whole lines in a file in memory, which the engine reads under a name. Nothing touches a disk."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from analytics.ingest.logfile import LogFile
from analytics.ingest.marks import Marks


class Stopped(Exception):
    """Nobody wants another piece."""


class Slot:
    """Memory for one piece, used again and again: fresh pages cost more than the reading."""

    def __init__(self, size: int) -> None:
        self._fd = os.memfd_create("piece")
        self.size = size
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)

    @property
    def path(self) -> str:
        """The name under which this process can read the piece."""
        return f"/proc/self/fd/{self._fd}"

    def fill(self, log: LogFile, rest: bytes, length: int) -> int:
        """Put `rest` and then text of the log into the memory, `length` bytes in all; how many there are."""
        if length > self.size:
            self._map.resize(length)
            self.size = length
        os.ftruncate(self._fd, self.size)
        with memoryview(self._map) as view, view[len(rest) : length] as text:
            view[: len(rest)] = rest
            return len(rest) + log.readinto(text)

    def lines(self, filled: int) -> int:
        """The length of the whole lines."""
        return self._map.rfind(b"\n", 0, filled) + 1

    def end_at(self, length: int, filled: int) -> bytes:
        """Let the piece end; the text behind its end comes back."""
        rest = self._map[length:filled]
        os.ftruncate(self._fd, length)
        return rest

    def mark(self, length: int, marks: Marks) -> None:
        with memoryview(self._map) as view, view[:length] as text:
            marks.feed(text)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)


class Piece(msgspec.Struct, frozen=True):
    """Whole lines in a slot, which goes back to the free ones when they were dealt with."""

    slot: Slot
    length: int
    checksum: int  # of all text up to its end
    every: int  # bytes between two marks
    marks: list[int]  # of all text up to its end


def pieces(
    log: LogFile, take: Callable[[], Slot], size: int, first: Sequence[int], marks: Marks, *, growing: bool
) -> Iterator[Piece]:
    """Whole lines, at most `size` bytes at a time, and so always cut at the same places from the same offset.

    A slot is taken for each by `take`, and `marks` gets its text. `first`: the lengths of the first pieces when they
    were recorded before. A last line without a newline is left for the next time while the log is `growing`, or where
    it is damaged.
    """
    rest = b""
    for length in first:
        slot = take()
        filled = slot.fill(log, b"", length)
        slot.mark(filled, marks)
        slot.end_at(filled, filled)
        yield Piece(slot, filled, marks.checksum, marks.every, marks.up_to(marks.length))
    while True:
        slot = take()
        wanted = max(size, len(rest) + size // 2)
        filled = slot.fill(log, rest, wanted)
        whole = slot.lines(filled)
        unfinished = growing or log.damage is not None
        # A line longer than a piece is none, wherever it is cut.
        length = whole if filled < wanted and unfinished else filled if filled < wanted else whole or filled
        if not length:
            return
        rest = slot.end_at(length, filled)
        slot.mark(length, marks)
        yield Piece(slot, length, marks.checksum, marks.every, marks.up_to(marks.length))
        if filled < wanted:
            return
