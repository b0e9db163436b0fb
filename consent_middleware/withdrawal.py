"""Withdrawal by an operator, for somebody who wrote an e-mail: the same proof, the same reach as a click."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Sequence

import msgspec

from consent_middleware.capture import visitor_key
from consent_middleware.decide import VISITOR_SUBJECT
from consent_middleware.erasures import Erasure, new_erasure
from consent_middleware.ledger import ConsentRecord, Ledger
from consent_middleware.ledger.record import SCHEMA, WHERE_IDS_STAND, moment_after


class NothingToWithdraw(LookupError):
    """There is no such record, or it was withdrawn already; the message says which."""


async def withdraw(
    ledger: Ledger, record_id: str, *, reason: str, method: str = "operator"
) -> tuple[ConsentRecord, Erasure | None]:
    """Append a withdrawal to a record, and owe the erasure of its visitor's captured rows in the same transaction.

    Workers take both up within seconds. Raises NothingToWithdraw, LedgerUnavailable.
    """
    history = await ledger.read(record_id)
    if not history:
        raise NothingToWithdraw(f"{record_id}: no such record; {WHERE_IDS_STAND}")
    last = history[-1]
    if last.revokes:
        moment = dt.datetime.fromtimestamp(last.at, dt.UTC)
        raise NothingToWithdraw(f"{record_id}: {last.event} already, on {moment:%Y-%m-%d at %H:%M:%S} UTC")
    record = msgspec.structs.replace(
        last,
        schema=SCHEMA,
        event="withdrawn",
        at=moment_after(history, time.time()),
        purposes=dict.fromkeys(last.purposes, False),
        method=method,
        signals=(),
        subject="",
        recipients=(),
        reason=reason,
        previous="",
    )
    visitor = await asyncio.to_thread(visitor_of_record, ledger, history)
    erasure = new_erasure(visitor_key(visitor)) if visitor else None
    await ledger.append_all((record,), owed=[(erasure.visitor, erasure.ticket)] if erasure else ())
    return record, erasure


def visitor_of_record(ledger: Ledger, history: Sequence[ConsentRecord]) -> str | None:
    """The visitor's id that the record leads to; None for a record of a form, or whose subject was erased."""
    for record in reversed(history):
        subject = ledger.subject_of(record)
        if subject and subject.startswith(VISITOR_SUBJECT):
            return subject.removeprefix(VISITOR_SUBJECT)
    return None
