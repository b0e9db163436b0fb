"""Marks in the text of a log: checksums at even distances, by which a shorter copy of it is known again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

CLOSEST: Final = 64  # bytes between two marks of a short text: less than a line
MOST: Final = 4096  # marks of a text; when there are more, every second one goes


class Marks:
    """The CRC-32 of a text that is read from its beginning, and of its first `every`, 2 x `every`, ... bytes.

    The distance doubles as the text grows: it is CLOSEST, or less than a 2,000th of the text.
    """

    def __init__(self) -> None:
        self.length = 0
        self.checksum = 0
        self.every = CLOSEST
        self._sums: list[int] = []

    def feed(self, text: memoryview) -> None:
        """The next text."""
        start = 0
        while start < len(text):
            end = min(len(text), start + self.every - self.length % self.every)
            self.checksum = zlib.crc32(text[start:end], self.checksum)
            self.length += end - start
            start = end
            if self.length % self.every == 0:
                self._sums.append(self.checksum)
                if len(self._sums) > MOST:
                    self.every *= 2
                    self._sums = self._sums[1::2]

    def up_to(self, length: int) -> list[int]:
        """The marks within the first `length` bytes."""
        return self._sums[: length // self.every]

    def begins(self, every: int, sums: Sequence[int]) -> bool:
        """Is this text, up to its last mark, the beginning of the longer text that has these marks?

        Exact up to that mark (but for a collision of CRC-32); what lies behind it was not compared.
        """
        wider = every // self.every
        own = self._sums[wider - 1 :: wider] if wider else []
        return wider > 0 and len(own) == self.length // every <= len(sums) and own == list(sums[: len(own)])
