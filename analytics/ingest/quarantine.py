"""Rows that the engine refuses: kept with the reason, out of the way of the others, and tried again on request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from analytics.store import Store, StoreError, StoreUnavailable
from consent_middleware.visit import Captured


class Refused(msgspec.Struct, frozen=True):
    reason: str
    line: str


def folder(data_dir: Path) -> Path:
    return Path(data_dir) / "quarantine"


def write(data_dir: Path, token: str, refused: Sequence[tuple[str, bytes]]) -> None:
    """Keep refused lines under the token of their batch: a repetition of the batch writes the same file."""
    if not refused:
        return
    folder(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder(data_dir) / f"{token}.jsonl"
    lines = [msgspec.json.encode(Refused(reason, line.decode("utf-8", "replace"))) for reason, line in refused]
    _replace(path, b"\n".join(lines) + b"\n")


def read(path: Path) -> list[Refused]:
    decoder = msgspec.json.Decoder(Refused)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def files(data_dir: Path) -> list[Path]:
    return sorted(folder(data_dir).glob("*.jsonl"))


def erase(data_dir: Path, visitors: Sequence[int]) -> int:
    """Take out lines that mention one of the visitors; how many."""
    keys = [str(visitor) for visitor in visitors]
    removed = 0
    for path in files(data_dir):
        entries = read(path)
        kept = [entry for entry in entries if not any(key in entry.line for key in keys)]
        if len(kept) < len(entries):
            removed += len(entries) - len(kept)
            if kept:
                _replace(path, b"\n".join(map(msgspec.json.encode, kept)) + b"\n")
            else:
                path.unlink()
    return removed


def sift(store: Store, table: str, structure: str, lines: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Load the good ones among `lines` into `table`; the bad ones come back with the reason.

    Called when a load of all of them failed. What is no row of ours is found here, the rest by halving.
    """
    refused: list[tuple[str, bytes]] = []
    decoder = msgspec.json.Decoder(Captured)
    rows = []
    for line in lines:
        try:
            decoder.decode(line)
            rows.append(line)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            refused.append((str(error), line.rstrip(b"\n")))
    waiting = [rows] if rows else []
    while waiting:
        part = waiting.pop()
        try:
            store.load(table, structure, "JSONCompactEachRow", part)
        except StoreUnavailable:
            raise
        except StoreError as error:
            if len(part) == 1:
                refused.append((str(error)[:300], part[0].rstrip(b"\n")))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
    return refused


def _replace(path: Path, data: bytes) -> None:
    unfinished = path.with_suffix(".tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
