"""Captured rows behind a request that names a consent record (`record:ID`, which stands on the visitor's receipt).

The record leads to the visitor as long as its subject key exists. The request travels by the desk, and the analytics
service does the work, as for the my-data page.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware.capture import visitor_key
from consent_middleware.ledger import Ledger
from consent_middleware.rights.desk import Desk
from consent_middleware.rights.register import RegisterError
from consent_middleware.rights.request import Request, record_of
from consent_middleware.spool import Spool
from consent_middleware.withdrawal import visitor_of_record

if TYPE_CHECKING:
    from consent_middleware.spool_values import Kind

LOOK_EVERY: Final = 0.25


def visitor_behind(ledger: Ledger, subject: str) -> int | None:
    """The visitor's key, where the subject names a record that still leads to one. Raises LedgerUnavailable."""
    record = record_of(subject)
    if record is None:
        return None
    visitor = visitor_of_record(ledger, ledger.read_now(record))
    return visitor_key(visitor) if visitor else None


def ask(data_dir: Path, ledger: Ledger, request: Request, kind: Kind, visitor: int, wait: float) -> dict[str, Any]:
    """Let the analytics service act on a visitor's rows; its answer. Raises RegisterError when none comes in time.

    The ticket of a request is always the same, so that a second run fetches the answer of the first.
    """
    message = f"request {request.number} {kind}".encode()
    ticket = hmac.new(ledger.index_key(), message, "sha256").hexdigest()[:44]
    spool = Spool(data_dir / "spool")
    try:
        desk = Desk(data_dir, spool)
        if desk.answer(ticket) is None:
            asyncio.run(desk.ask(kind, visitor, ticket))
    finally:
        spool.close()
    until = time.monotonic() + wait
    while (found := desk.answer(ticket)) is None:
        if time.monotonic() > until:
            raise RegisterError(
                f"request {request.number}: the analytics service has not answered about the visits yet. The request "
                "stands; start `analytics serve` (or run `analytics load`), then run this command again"
            )
        time.sleep(LOOK_EVERY)
    answer: dict[str, Any] = msgspec.json.decode(found)
    return answer
