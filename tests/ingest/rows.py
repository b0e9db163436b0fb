"""Rows, a policy and a spool for tests of the way from the web into the store."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits
from consent_middleware.visit import Captured

POLICY_TEXT = """
revision = 3
updated = 2026-11-20
[controller]
name = "Example Society"
[site]
hosts = ["example.org"]
[[purpose]]
id = "necessary"
required = true
[[purpose]]
id = "analytics"
[capture]
plausible = true
"""
POLICY = PrivacyPolicy.parse(POLICY_TEXT)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
QUICK = SpoolLimits(segment_seconds=0.05, sync_seconds=0.02, segment_bytes=20_000, block_bytes=4_000)


def row(number: int, *, visitor: int = 0, time_ms: int | None = None, **fields: object) -> bytes:
    """A page view that can be told from all others by its path."""
    captured = Captured(
        site="example.org",
        time=int(time.time() * 1000) if time_ms is None else time_ms,
        kind="view",
        name="pageview",
        host="example.org",
        path=f"/{number}",
        user_agent=CHROME,
        visitor=visitor or number + 1,
        basis="consent",
        revision=3,
    )
    return msgspec.json.encode(msgspec.structs.replace(captured, **fields))


def spool_rows(data_dir: Path, rows: list[bytes], limits: SpoolLimits = QUICK) -> None:
    """Put rows into a spool whose worker has ended."""
    spool = Spool(data_dir / "spool", limits)
    for one in rows:
        assert spool.append(one)
    spool.close()
