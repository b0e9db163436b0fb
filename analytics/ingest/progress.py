"""What was loaded, and the batch that is on its way: one small file, replaced as a whole.

The batch is recorded before it is sent. Whatever happens in between, the same bytes go out again under the same token,
and the store takes them once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from consent_middleware.lazy import UserError


class Batch(msgspec.Struct, frozen=True):
    """Pieces of segments that are sent together. `without`: visitor -> ms, erased rows left out (recorded, so that
    a repetition is the same to the byte)."""

    token: str
    pieces: tuple[tuple[str, int, int], ...]  # segment, start, end
    without: dict[str, int] = {}


class Progress(msgspec.Struct):
    """`loaded`: segment -> bytes that are in the store. `controls`: segment -> bytes of control records acted on."""

    loader: str = msgspec.field(default_factory=lambda: secrets.token_hex(4))
    loaded: dict[str, int] = msgspec.field(default_factory=dict)
    controls: dict[str, int] = msgspec.field(default_factory=dict)
    batch: Batch | None = None

    @classmethod
    def read(cls, spool: Path) -> Progress:
        try:
            return msgspec.json.decode((spool / "progress.json").read_bytes(), type=cls)
        except FileNotFoundError:
            return cls()

    def write(self, spool: Path) -> None:
        """Durable on return; a crash leaves the old file or the new one."""
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = spool / ".progress.json"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(self))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(spool / "progress.json")
        folder = os.open(spool, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


_here = threading.RLock()


@contextlib.contextmanager
def only_loader(spool: Path) -> Iterator[None]:
    """One loader a spool: threads wait for each other, a second process is told so. Raises UserError."""
    with _here:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if getattr(_held, "spool", None) == spool:  # called from within
            yield
            return
        with (spool / "loader.lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"{spool}: another process is loading this spool; it will load what is there") from None
            _held.spool = spool
            try:
                yield
            finally:
                _held.spool = None


_held = threading.local()
