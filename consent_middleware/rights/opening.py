"""`open_request`: the way into the register for the site's own code, for example a page behind its login."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from consent_middleware.rights.register import Register
from consent_middleware.rights.request import ACCOUNT, Request, Right

if TYPE_CHECKING:
    from consent_middleware.services import Services

UNPROVED = "none; an address may always be protected from mailings"


async def open_request(
    scope: MutableMapping[str, Any],
    *,
    right: Right,
    subject: str,
    identity: str = ACCOUNT,
    text: str = "",
    ticket: str = "",
) -> Request:
    """Note a request for `subject` (an address, "member:42"); due one calendar month later.

    `identity` says how the person was recognised; the same `ticket` is the same request. An objection to direct
    marketing takes effect before this returns. Raises RegisterError, LedgerUnavailable.
    """
    from consent_middleware.forms import services_of

    return await open_with(services_of(scope), right, subject, identity=identity, text=text, ticket=ticket, by="site")


async def open_with(
    services: Services, right: Right, subject: str, *, identity: str, text: str = "", ticket: str = "", by: str
) -> Request:
    """The same with the services of the middleware at hand. Raises also ValueError for what is no address."""
    if right == "marketing-objection":
        from consent_middleware.suppression import SuppressionList

        # First the list that every mailing asks, then the note about it.
        suppressed = SuppressionList(services.ledger, services.policy)
        if await suppressed.objected_at(subject) is None:
            await suppressed.note(subject, method="form", text=text)
    register = Register(services.data_dir)
    request = await asyncio.to_thread(register.open, right, subject, identity=identity, by=by, text=text, ticket=ticket)
    if right == "marketing-objection" and request.closed is None:
        told = "suppressed at once, for every later import and mailing"
        request = await asyncio.to_thread(register.step, request.number, "answered", by="automatic", text=told)
    return request
