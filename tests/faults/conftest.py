"""A disk that is really full, and a site whose client keeps cookies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of a few hundred kilobytes in a folder: filled and emptied at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Take all of the room but `leave` bytes (whole pages)."""
        with self._filler.open("ab") as file:
            free = os.statvfs(self.folder)
            try:
                file.write(b"\0" * max(free.f_bavail * free.f_frsize - leave, 0))
                file.flush()
            except OSError:  # full is what was asked for
                return

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """1 MB of tmpfs. Without the right to mount one, the limit of a file's size has to do: see tests/ledger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
