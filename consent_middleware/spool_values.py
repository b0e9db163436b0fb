"""Values of the spool: its limits, and what the loader is asked to do about a visitor."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["erase", "restrict", "unrestrict", "object", "export", "correct"]


class SpoolLimits(msgspec.Struct, frozen=True):
    """When to close a segment, and when to refuse new rows. Bytes and seconds."""

    total_bytes: int = 1024 * 1024 * 1024
    oldest_seconds: float = 14 * 86_400
    segment_bytes: int = 32 * 1024 * 1024
    segment_seconds: float = 30.0  # rows leave the spool soon after they were loaded, which erasure relies on
    block_bytes: int = 4 * 1024 * 1024
    sync_seconds: float = 1.0


class Control(msgspec.Struct, frozen=True):
    """What the loader is asked to do about one visitor. `visitor` is the visitor's key, never the cookie."""

    kind: Kind
    visitor: int
    ticket: str
    time: int  # ms; an erasure covers rows up to this time
    text: str = ""
