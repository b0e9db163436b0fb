"""`consent ledger export`: every consent record as JSON-LD, CSV or Parquet. Subjects stay encrypted."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterator
from typing import IO, Any

from consent_middleware.dpv import CONTEXT, event_of, moment
from consent_middleware.keys import canonical
from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.heads import stored_chains
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.record import ConsentRecord, decode_record, decode_refusal

Progress = Callable[[int], None]
BATCH = 10_000
FREE_TEXT = ("controller", "recipients", "reason")
COLUMNS = (
    "entry",
    "record_id",
    "event",
    "at",
    "controller",
    "notice",
    "language",
    "revision",
    "fingerprint",
    "granted",
    "denied",
    "method",
    "regime",
    "signals",
    "until",
    "recipients",
    "reason",
    "previous",
    "hash",
)


class MissingLibrary(Exception):
    """A format needs a library that is not installed; the message says which."""


def count_entries(ledger: Ledger) -> int:
    """How many entries an export will have."""
    total = 0
    for chain in ledger.reader.use(stored_chains):
        if chains.log_of(chain) is not Log.DISCLOSURES:
            span = {"first": chains.position(chain, 0), "beyond": chains.position(chain + 1, 0)}
            total += int(ledger.reader.query("count_entries", span)[0][0])
    return total


def export(ledger: Ledger, format_: str, file: IO[bytes], *, progress: Progress = lambda n: None) -> int:
    """Write every consent and refusal to `file`; how many. Raises MissingLibrary, LedgerUnavailable, OSError."""
    batches = _batches(ledger, progress)
    if format_ == "jsonld":
        return _jsonld(batches, file)
    if format_ == "csv":
        return _csv(batches, file)
    return _parquet(batches, file)


Entries = list[tuple[str, ConsentRecord, str]]


def _batches(ledger: Ledger, progress: Progress) -> Iterator[Entries]:
    """(name, record, hash of the entry), chain by chain; a refusal comes as a record without id, at its day's start."""
    for chain in ledger.reader.use(stored_chains):
        log = chains.log_of(chain)
        if log is Log.DISCLOSURES:
            continue
        first, beyond = chains.position(chain, 0), chains.position(chain + 1, 0)
        while rows := ledger.reader.query("chain_page", {"first": first, "beyond": beyond, "size": BATCH}):
            batch = []
            for place, body, link in rows:
                record = decode_record(body) if log is Log.CONSENTS else _as_record(bytes(body))
                batch.append((chains.name(*chains.split(place)), record, bytes(link).hex()))
            yield batch
            progress(len(batch))
            first = rows[-1][0] + 1


def _as_record(body: bytes) -> ConsentRecord:
    refusal = decode_refusal(body)
    return ConsentRecord(
        schema=refusal.schema,
        record_id="",
        event="refused",
        at=dt.datetime.fromisoformat(f"{refusal.day}T00:00:00+00:00").timestamp(),
        controller=refusal.controller,
        notice=refusal.notice,
        language=refusal.language,
        revision=refusal.revision,
        fingerprint=refusal.fingerprint,
        purposes=dict.fromkeys(refusal.purposes, False),
        method=refusal.method,
        regime=refusal.regime,
    )


def _row(name: str, record: ConsentRecord, link: str) -> dict[str, Any]:
    return {
        "entry": name,
        "record_id": record.record_id,
        "event": record.event,
        "at": moment(record.at),
        "controller": record.controller,
        "notice": record.notice,
        "language": record.language,
        "revision": record.revision,
        "fingerprint": record.fingerprint,
        "granted": " ".join(sorted(record.granted)),
        "denied": " ".join(sorted(set(record.purposes) - record.granted)),
        "method": record.method,
        "regime": record.regime,
        "signals": " ".join(record.signals),
        "until": moment(record.until) if record.until else "",
        "recipients": "; ".join(record.recipients),
        "reason": record.reason,
        "previous": record.previous,
        "hash": link,
    }


def _jsonld(batches: Iterator[Entries], file: IO[bytes]) -> int:
    done = 0
    file.write(b'{"@context":' + canonical(CONTEXT) + b',"@graph":[')
    for batch in batches:
        for name, record, link in batch:
            node = event_of(record) | {"@id": f"cm:entry/{name}", "cm:hash": link}
            file.write((b",\n" if done else b"\n") + canonical(node))
            done += 1
    file.write(b"\n]}\n")
    return done


def _csv(batches: Iterator[Entries], file: IO[bytes]) -> int:
    done = 0
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for batch in batches:
        for entry in batch:
            row = _row(*entry)
            # A cell that begins like a formula is one to a spreadsheet.
            writer.writerow(row | {column: _plain(row[column]) for column in FREE_TEXT})
        done += len(batch)
    text.flush()
    text.detach()
    return done


def _plain(value: str) -> str:
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _parquet(batches: Iterator[Entries], file: IO[bytes]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingLibrary("Parquet needs pyarrow: `pip install pyarrow` (CSV and JSON-LD need nothing)") from None
    done = 0
    numbers = {"revision": pa.int64()}
    schema = pa.schema([(column, numbers.get(column, pa.string())) for column in COLUMNS])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_pylist([_row(*entry) for entry in batch], schema=schema))
            done += len(batch)
    return done
