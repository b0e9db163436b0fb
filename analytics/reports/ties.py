"""Which of two equal groups is hidden for the sake of a third: always the same, and nobody can say beforehand which."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

NAME: Final = "ties.key"
BYTES: Final = 32


def ties_key(data_dir: Path) -> bytes:
    """The secret of a data folder, made at the first question; one of this process where nothing can be written."""
    path = Path(data_dir) / NAME
    with contextlib.suppress(OSError):
        if not path.exists():
            _make(path)
        key = path.read_bytes()
        if len(key) == BYTES:
            return key
    return _OF_PROCESS


def place(key: bytes, group: tuple[object, ...]) -> bytes:
    """Where a group stands among those of its size."""
    return hashlib.blake2b(repr([str(value) for value in group]).encode(), key=key, digest_size=8).digest()


def _make(path: Path) -> None:
    """Whole or not at all; of two processes at once one makes it."""
    new = path.with_name(f".{NAME}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()


_OF_PROCESS: Final = secrets.token_bytes(BYTES)
