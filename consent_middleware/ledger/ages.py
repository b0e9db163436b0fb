"""How old the entries of a log are: for whoever asks what is held, since when, until when."""

from __future__ import annotations

import datetime as dt

import msgspec

from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.record import decode_disclosure, decode_record, decode_refusal


class Ages(msgspec.Struct, frozen=True):
    """How many entries a log has, and the times of its oldest and newest; None when it is empty."""

    count: int = 0
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None


def ages(ledger: Ledger, log: Log) -> Ages:
    """Raises LedgerUnavailable. Two entries of each chain are read: within a chain, order is time."""
    count, times = 0, []
    for (chain,) in ledger.reader.query("chains", {}):
        if chains.log_of(chain) is not log:
            continue
        span = {"first": chains.position(chain, 0), "beyond": chains.position(chain + 1, 0)}
        number = int(ledger.reader.query("count_entries", span)[0][0])
        if not number:
            continue
        count += number
        first = ledger.reader.query("chain_page", {**span, "size": 1})[0]
        end = int(ledger.reader.query("chain_end", span)[0][0])
        last = ledger.reader.query("chain_page", {"first": end, "beyond": end + 1, "size": 1})[0]
        times += [_time(log, bytes(row[1])) for row in (first, last)]
    return Ages(count, min(times, default=None), max(times, default=None))


def _time(log: Log, body: bytes) -> dt.datetime:
    if log is Log.CONSENTS:
        return dt.datetime.fromtimestamp(decode_record(body).at, dt.UTC)
    if log is Log.REFUSALS:
        return dt.datetime.fromisoformat(decode_refusal(body).day).replace(tzinfo=dt.UTC)
    moment = dt.datetime.fromisoformat(str(decode_disclosure(body)["at"]))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
