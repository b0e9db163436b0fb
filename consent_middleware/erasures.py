"""Erasures that a withdrawal owes: noted in the ledger with the withdrawal, sent through the spool, then struck out.

Noting and withdrawing are one transaction, so that a crash between the two loses no erasure. Sending one twice is
harmless: a visitor who comes back after a withdrawal has another id.
"""

from __future__ import annotations

import logging
import secrets
from typing import Literal, Protocol

import msgspec

from consent_middleware.ledger import Ledger, LedgerUnavailable

logger = logging.getLogger("consent_middleware")


class Erasure(msgspec.Struct, frozen=True):
    """One visitor's rows to be erased; `visitor` is the visitor's key, never the cookie's value."""

    visitor: int
    ticket: str


class ControlDoor(Protocol):
    """The part of the spool that takes control records."""

    async def control(self, kind: Literal["erase"], visitor: int, ticket: str) -> None: ...


def new_erasure(visitor: int) -> Erasure:
    return Erasure(visitor, secrets.token_urlsafe(16))


async def send(ledger: Ledger, spool: ControlDoor, erasure: Erasure) -> bool:
    """Hand an erasure to the spool and strike it out. False when it stays owed; `send_owed` tries again."""
    try:
        await spool.control("erase", erasure.visitor, erasure.ticket)
        await ledger.erasure_sent(erasure.ticket)
    except (OSError, LedgerUnavailable) as error:
        logger.warning("an erasure stays owed, and will be sent again: %s", error)
        return False
    return True


async def send_owed(ledger: Ledger, spool: ControlDoor) -> int:
    """Send what is still owed; how many were sent. Raises LedgerUnavailable."""
    sent = 0
    for visitor, ticket in ledger.owed_erasures():
        sent += await send(ledger, spool, Erasure(visitor, ticket))
    return sent
