"""Daily salts: a visitor key that can't be linked from one day to the next, where the regime allows one at all.

The salt of a day is random, shared by the workers of a host through a file (shared_salts.py: of several hosts), and
destroyed at the latest 48 hours after it was made. Who has the data and no salt can't compute a key from an address.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Final, Protocol

DAY: Final = 86_400
SALT_BYTES: Final = 32


class Salts(Protocol):
    """What makes keys of a day; 0 when there is none."""

    def key(self, address: str, user_agent: str, site: str, now: float | None = None) -> int: ...


def salted_key(salt: bytes, address: str, user_agent: str, site: str) -> int:
    """64 bits over address, user agent and site under a salt; never 0."""
    message = f"{site}\0{address}\0{user_agent}".encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8, key=salt).digest(), "big") or 1


class DailySalts:
    """Keys of the current day (UTC). The folder holds today's and, until the next day starts, yesterday's salt."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._day = -1
        self._salt = b""

    def key(self, address: str, user_agent: str, site: str, now: float | None = None) -> int:
        """64 bits over address, user agent and site under today's salt; never 0."""
        day = int((time.time() if now is None else now) // DAY)
        if day != self._day:
            self._salt = self._load(day)
            self._day = day
        return salted_key(self._salt, address, user_agent, site)

    def _load(self, day: int) -> bytes:
        self.destroy_old(day)
        path = self.folder / f"{day}.salt"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.folder / f".{day}.{os.getpid()}"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(SALT_BYTES))
        with contextlib.suppress(FileExistsError):  # another worker was first: its salt holds
            os.link(unfinished, path)
        unfinished.unlink()
        return path.read_bytes()

    def destroy_old(self, day: int) -> None:
        """Remove every salt older than yesterday's: at most 48 hours after it was made, nobody has it.

        Salts of days to come go too: a clock that ran ahead made them, and nothing else would ever end them.
        """
        for path in self.folder.glob("*.salt"):
            with contextlib.suppress(ValueError, FileNotFoundError):
                if not day - 1 <= int(path.stem) <= day + 1:
                    path.unlink()
