"""Gives back the pages of the engine's library that only its start has read: half of what the service holds at rest."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LIBRARY: Final = "_chdb"
MADV_DONTNEED: Final = 4  # Linux's number; the page is read from the file again when it is wanted again
SMAPS: Final = Path("/proc/self/smaps")


def give_back() -> int:
    """How many bytes went; 0 where the system does not tell what is held."""
    try:
        held = SMAPS.read_text()
        advise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    gone = 0
    for start, end, resident in unwritten(held):
        if advise(start, end - start, MADV_DONTNEED) == 0:
            gone += resident
    return gone


def unwritten(smaps: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and resident bytes of each mapping of the library that may not be written to and never was: there,
    memory says nothing that the file does not say."""
    mapping: list[str] = []
    resident = 0
    for line in smaps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            mapping, resident = words, 0
        elif words[0] == "Rss:":
            resident = int(words[1]) * 1024
        elif words[0] == "Anonymous:" and words[1] == "0" and _of_library(mapping):
            start, end = mapping[0].split("-")
            yield int(start, 16), int(end, 16), resident


def _of_library(mapping: list[str]) -> bool:
    name = os.path.basename(mapping[-1]) if len(mapping) > 5 else ""
    return name.startswith(LIBRARY) and "w" not in mapping[1]
