"""Consent at a form: any purpose, with the exact text that was agreed to, for a subject of the site's own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from consent_middleware.ledger import ConsentRecord
from consent_middleware.ledger.record import METHODS, SCHEMA, new_record_id

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping
    from typing import Any

    from consent_middleware.services import Services


def services_of(scope: MutableMapping[str, Any]) -> Services:
    """The middleware's services of this request. Raises RuntimeError outside of the middleware."""
    services: Services | None = scope.get("consent.services")
    if services is None:
        raise RuntimeError("this request did not pass ConsentMiddleware: wrap the application in it")
    return services


async def record_consent(
    scope: MutableMapping[str, Any],
    *,
    purpose: str,
    given: bool,
    text: str,
    subject: str,
    language: str = "en",
    method: str = "form",
    recipients: Iterable[str] = (),
    valid_days: int | None = None,
) -> ConsentRecord:
    """Append what `subject` (for example "member:42") said to `text` about `purpose`; durable on return.

    `purpose` is any name of the site's own; `recipients` are third parties that the text names; `valid_days` None means
    until withdrawn. A later call for the same subject and purpose appends to the same record. The subject is kept
    encrypted, and found again by a keyed hash. Raises LedgerUnavailable, ValueError for an empty text or subject.
    """
    services = services_of(scope)
    return await append_consent(
        services,
        purpose=purpose,
        given=given,
        text=text,
        subject=subject,
        language=language,
        method=method,
        recipients=recipients,
        valid_days=valid_days,
        regime=scope["consent"].regime if "consent" in scope else "opt-in",
    )


async def append_consent(
    services: Services,
    *,
    purpose: str,
    given: bool,
    text: str,
    subject: str,
    language: str = "en",
    method: str = "form",
    recipients: Iterable[str] = (),
    valid_days: int | None = None,
    regime: str = "opt-in",
    reason: str = "",
) -> ConsentRecord:
    """`record_consent` without a request: for operators and e-mail links."""
    if not text.strip() or not subject.strip() or not purpose.strip():
        raise ValueError("a consent needs the text that was agreed to, a purpose and a subject")
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method of giving consent: one of {', '.join(METHODS)}")
    ledger, policy = services.ledger, services.policy
    now = int(time.time())
    known = (await asyncio.to_thread(ledger.records_of, subject)).get(purpose)
    history = await ledger.read(known) if known else []
    standing = bool(history) and history[-1].purposes.get(purpose, False) and not history[-1].revokes
    record_id = known or new_record_id()
    sealed, key = await ledger.sealed_subject(
        record_id, subject, new=known is None, index=await asyncio.to_thread(ledger.index, subject), purpose=purpose
    )
    event = {
        (True, False): "given",
        (True, True): "renewed",
        (False, True): "withdrawn",
        (False, False): "refused",
    }[given, standing]
    record = ConsentRecord(
        schema=SCHEMA,
        record_id=record_id,
        event=event,
        at=now,
        controller=policy.controller.name,
        notice=await ledger.notice(text.encode(), language, policy.revision),
        language=language,
        revision=policy.revision,
        fingerprint=policy.fingerprint,
        purposes={purpose: given},
        method=method,
        regime=regime,
        until=now + valid_days * 86_400 if valid_days else 0,
        subject=sealed,
        recipients=tuple(recipients),
        reason=reason,
    )
    await ledger.append(record, key=key)
    return record


async def consent_of(
    scope: MutableMapping[str, Any], *, subject: str, purpose: str, now: float | None = None
) -> ConsentRecord | None:
    """The consent of `subject` to `purpose` that stands now; None when it was never given, withdrawn, or has ended."""
    ledger = services_of(scope).ledger
    known = (await asyncio.to_thread(ledger.records_of, subject)).get(purpose)
    history = await ledger.read(known) if known else []
    if not history or history[-1].revokes or not history[-1].purposes.get(purpose, False):
        return None
    last = history[-1]
    return None if last.until and last.until < (time.time() if now is None else now) else last
