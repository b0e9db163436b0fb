"""The chains: how entries follow one another, and how a chain and a sequence number make a position. Pure.

Every writer (one worker process) keeps one chain per log, so that no writer ever waits for another's hash. Refusals
have a log of their own: between timed records their order would tell the minute that they promise not to keep.
"""

from __future__ import annotations

import enum
import hashlib

SEQUENCE_BITS = 40
LOGS = 4


class Log(enum.IntEnum):
    CONSENTS = 0
    REFUSALS = 1
    DISCLOSURES = 2


def chain_of(writer: int, log: Log) -> int:
    return writer * LOGS + log


def log_of(chain: int) -> Log:
    return Log(chain % LOGS)


def writer_of(chain: int) -> int:
    return chain // LOGS


def position(chain: int, sequence: int) -> int:
    return chain << SEQUENCE_BITS | sequence


def split(place: int) -> tuple[int, int]:
    """(chain, sequence) of a position."""
    return place >> SEQUENCE_BITS, place & ((1 << SEQUENCE_BITS) - 1)


def name(chain: int, sequence: int) -> str:
    """How an entry is called in reports: `consents/3#17` is entry 17 (from 0) of writer 3."""
    return f"{log_of(chain).name.lower()}/{writer_of(chain)}#{sequence}"


def genesis(chain: int) -> bytes:
    """What the first entry of a chain follows: it binds the chain's number, so that chains can't be exchanged."""
    return hashlib.sha256(b"consent-ledger/1 chain %d" % chain).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """The hash of an entry: SHA-256 over the hash before it and its canonical bytes."""
    return hashlib.sha256(previous + body).digest()
