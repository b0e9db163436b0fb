"""The query log: every question to the internal lane, who asked what and when; JSON lines, a file a month."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    at: str
    who: str
    name: str
    site: str
    query: Any
    milliseconds: int = 0
    rows: int = 0
    error: str = ""


class QueryLog:
    """Append-only; `keep_months` bounds how long staff's questions are held."""

    def __init__(self, data_dir: Path, keep_months: int = 13) -> None:
        self.folder, self.keep_months = data_dir / "query-log", keep_months

    def add(self, entry: Entry) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{entry.at[:7]}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(entry) + b"\n")
        finally:
            os.close(descriptor)

    def last(self, count: int = 200) -> list[Entry]:
        """The newest first."""
        found: list[Entry] = []
        for path in sorted(self.folder.glob("*.jsonl"), reverse=True):
            lines = path.read_bytes().splitlines()
            found += [msgspec.json.decode(line, type=Entry) for line in reversed(lines[-count:])]
            if len(found) >= count:
                break
        return found[:count]

    def held(self) -> tuple[int, dt.datetime | None, dt.datetime | None]:
        """How many questions are held, and when (UTC) the oldest and the newest of them was asked."""
        kept = [lines for path in sorted(self.folder.glob("*.jsonl")) if (lines := path.read_bytes().splitlines())]
        if not kept:
            return 0, None, None
        ends = (msgspec.json.decode(line, type=Entry).at for line in (kept[0][0], kept[-1][-1]))
        first, last = (dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC) for at in ends)
        return sum(map(len, kept)), first, last

    def purge(self, today: dt.date) -> int:
        """Remove months older than are kept; how many files went."""
        index = today.year * 12 + today.month - 1 - self.keep_months
        oldest = f"{index // 12:04}-{index % 12 + 1:02}"
        old = [path for path in self.folder.glob("*.jsonl") if path.stem < oldest]
        for path in old:
            path.unlink()
        return len(old)
