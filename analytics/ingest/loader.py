"""Segments -> store, exactly once, whatever dies in between.

A batch is recorded before it is sent (progress.py), its bytes are staged in the engine's memory, the distinct values
are explained by Python, and one INSERT ... SELECT under the batch's token puts all rows into the store. Only then do
its segments go. Rows that the engine refuses go to the quarantine with the reason.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from analytics import subject
from analytics.ingest import enrich, quarantine
from analytics.ingest.progress import Batch, Progress, only_loader
from analytics.ingest.segments import Segment, read_block, remove_empty_workers, segments
from analytics.store import ONE_BLOCK, Store, StoreError, StoreUnavailable
from analytics.subject import erased as erased_visitors
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.visit import SPOOL_COLUMNS

STRUCTURE: Final = ", ".join(f"{name} {type_}" for name, type_ in SPOOL_COLUMNS)
BATCH_ROWS: Final = 250_000
BATCH_BYTES: Final = 96 * 1024 * 1024


class LoadSummary(msgspec.Struct):
    """What one run of the loader did."""

    rows: int = 0
    batches: int = 0
    quarantined: int = 0
    damaged_blocks: int = 0
    torn_bytes: int = 0
    segments_removed: int = 0
    answered: int = 0


def load_pending(store: Store, data_dir: Path, policy: PrivacyPolicy) -> LoadSummary:
    """Load all that is durable in the spool and act on control records. Raises StoreUnavailable; nothing is lost.

    Safe to call from several threads; UserError when another process loads the same spool.
    """
    spool = Path(data_dir) / "spool"
    summary = LoadSummary()
    with only_loader(spool):
        progress = Progress.read(spool)
        now = time.time()  # before the spool is looked at: what was taken until now is in it
        found = list(segments(spool))
        if progress.batch is not None:
            _send(store, data_dir, progress, {segment.name: segment for segment in found}, summary)
        waiting = subject.waiting(progress, found, now)
        subject.note(store, policy, waiting.controls)
        without = erased_visitors(store)
        while batch := next_batch(progress, found, without):
            progress.batch = batch
            progress.write(spool)
            _send(store, data_dir, progress, {segment.name: segment for segment in found}, summary)
        summary.answered = subject.answer(store, data_dir, policy, waiting.controls)
        subject.mark_done(progress, spool, waiting)
        _remove_loaded(progress, spool, found, summary)
        if without:
            subject.retire(store, data_dir)
    return summary


def next_batch(progress: Progress, found: Iterable[Segment], without: Mapping[int, int]) -> Batch | None:
    """The next pieces to send: whole blocks that are not loaded yet, up to the size of a batch."""
    pieces: list[tuple[str, int, int]] = []
    rows = size = 0
    for segment in found:
        start = end = progress.loaded.get(segment.name, 0)
        for block in segment.blocks:
            if block.start < end:
                continue
            if rows and (rows + block.rows > BATCH_ROWS or size + block.end - block.start > BATCH_BYTES):
                break
            end = block.end
            rows += block.rows
            size += block.end - block.start
        if end > start:
            pieces.append((segment.name, start, end))
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            break
    if not pieces:
        return None
    digest = hashlib.sha256(repr((progress.loader, pieces)).encode()).hexdigest()[:32]
    return Batch(digest, tuple(pieces), {str(visitor): until for visitor, until in without.items()})


def _send(
    store: Store, data_dir: Path, progress: Progress, by_name: Mapping[str, Segment], summary: LoadSummary
) -> None:
    """Send the recorded batch and record that it is in the store, in one replacement of the progress file."""
    batch = progress.batch
    assert batch is not None
    chunks: list[bytes] = []
    refused: list[tuple[str, bytes]] = []
    rows = 0
    for name, start, end in batch.pieces:
        segment = by_name[name]
        for block in segment.blocks:
            if block.start < start or block.end > end:
                continue
            data = read_block(segment, block)
            if data is None:
                summary.damaged_blocks += 1
                raw = segment.path.read_bytes()[block.start : block.end]
                refused += [(f"{name}: block at {block.start} is damaged", line) for line in raw.splitlines()]
            else:
                chunks.append(data)
                rows += block.rows
    bad = insert_rows(store, progress.loader, batch.token, chunks, batch.without)
    refused += bad
    quarantine.write(data_dir, batch.token, refused)
    summary.quarantined += len(refused)
    summary.rows += rows - len(bad)
    summary.batches += 1
    for name, _, end in batch.pieces:
        progress.loaded[name] = end
    progress.batch = None
    progress.write(Path(data_dir) / "spool")


def retry_quarantine(store: Store, data_dir: Path, summary: LoadSummary) -> LoadSummary:
    """Try quarantined rows again, each file under a token of its own content; what is still refused stays."""
    with only_loader(Path(data_dir) / "spool"):
        progress = Progress.read(Path(data_dir) / "spool")
        without = {str(visitor): until for visitor, until in erased_visitors(store).items()}
        for path in quarantine.files(data_dir):
            lines = [entry.line.encode() + b"\n" for entry in quarantine.read(path)]
            token = "retry:" + hashlib.sha256(b"".join(lines)).hexdigest()[:32]
            refused = insert_rows(store, progress.loader, token, lines, without)
            summary.rows += len(lines) - len(refused)
            summary.quarantined += len(refused)
            if refused:
                quarantine.write(data_dir, path.stem, refused)
            else:
                path.unlink()
    return summary


def insert_rows(
    store: Store, loader: str, token: str, chunks: list[bytes], without: Mapping[str, int]
) -> list[tuple[str, bytes]]:
    """Stage, enrich and insert rows under a token; the lines that the engine refuses come back with the reason."""
    staged, agents, sources = (f"{name}_{loader}" for name in ("staged", "agents", "sources"))
    refused: list[tuple[str, bytes]] = []
    store.command(f"CREATE OR REPLACE TABLE {staged} ({STRUCTURE}) ENGINE = Memory")
    try:
        store.load(staged, STRUCTURE, "JSONCompactEachRow", chunks)
    except StoreUnavailable:
        raise
    except StoreError:
        store.command(f"CREATE OR REPLACE TABLE {staged} ({STRUCTURE}) ENGINE = Memory")
        refused = quarantine.sift(store, staged, STRUCTURE, b"".join(chunks).splitlines(keepends=True))
    try:
        enrich.make_agents(store, agents, staged)
        enrich.make_sources(store, sources, staged)
        store.command(
            store.sql("insert_events"),
            {
                "staged": staged,
                "agents": agents,
                "sources": sources,
                "ids": [int(visitor) for visitor in without],
                "until": list(without.values()),
            },
            insert_deduplication_token=token,
            **ONE_BLOCK,
            **({"distributed_foreground_insert": 1} if store.cluster else {}),
        )
    finally:
        for table in (staged, agents, sources):
            store.command(f"DROP TABLE IF EXISTS {table}")
    return refused


def _remove_loaded(progress: Progress, spool: Path, found: Iterable[Segment], summary: LoadSummary) -> None:
    """Take away finished segments whose rows are in the store and whose control records were acted on."""
    gone = []
    for segment in found:
        if not segment.finished or progress.loaded.get(segment.name, 0) < segment.end:
            continue
        if segment.controls.exists() and segment.controls.stat().st_size > progress.controls.get(segment.name, 0):
            continue
        summary.torn_bytes += segment.torn
        segment.remove()
        gone.append(segment.name)
    if gone:
        for name in gone:
            progress.loaded.pop(name, None)
            progress.controls.pop(name, None)
        progress.write(spool)
        summary.segments_removed += len(gone)
    remove_empty_workers(spool)
