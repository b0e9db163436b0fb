"""Consent at a form: any purpose, with the exact text that was agreed to, for a subject of the site's own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from html import escape
from typing import TYPE_CHECKING

from consent_middleware.ledger import ConsentRecord, Ledger
from consent_middleware.ledger.record import METHODS, SCHEMA, moment_after, new_record_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence
    from typing import Any

    from starlette.requests import Request

    from consent_middleware.policy import PrivacyPolicy
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
    version: int | None = None,
) -> ConsentRecord:
    """Append what `subject` (for example "member:42") said to `text` about `purpose`; durable on return.

    `purpose` is any name of the site's own; `recipients` are third parties that the text names; `valid_days` None means
    until withdrawn; `version` is the number of the text (default: the policy's revision). The text itself is kept by
    its hash. A later call for the same subject and purpose appends to the same record. The subject is kept encrypted,
    and found again by a keyed hash. Raises LedgerUnavailable, ValueError for an empty text or subject.
    """
    services = services_of(scope)
    return await append_consent(
        services.ledger,
        services.policy,
        purpose=purpose,
        given=given,
        text=text,
        subject=subject,
        language=language,
        method=method,
        recipients=recipients,
        valid_days=valid_days,
        version=version,
        regime=scope["consent"].regime if "consent" in scope else "opt-in",
    )


async def append_consent(
    ledger: Ledger,
    policy: PrivacyPolicy,
    *,
    purpose: str,
    given: bool,
    text: str,
    subject: str,
    language: str = "en",
    method: str = "form",
    recipients: Iterable[str] = (),
    valid_days: int | None = None,
    version: int | None = None,
    regime: str = "opt-in",
    reason: str = "",
    suppressions: Sequence[Mapping[str, object]] = (),
) -> ConsentRecord:
    """`record_consent` without a request: for operators and e-mail links."""
    if not text.strip() or not subject.strip() or not purpose.strip():
        raise ValueError("a consent needs the text that was agreed to, a purpose and a subject")
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method of giving consent: one of {', '.join(METHODS)}")
    revision = policy.revision if version is None else version
    known = (await asyncio.to_thread(ledger.records_of, subject)).get(purpose)
    history = await ledger.read(known) if known else []
    now = moment_after(history, time.time())
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
        notice=await ledger.notice(text.encode(), language, revision),
        language=language,
        revision=revision,
        fingerprint=policy.fingerprint,
        purposes={purpose: given},
        method=method,
        regime=regime,
        until=int(now) + valid_days * 86_400 if valid_days else 0,
        subject=sealed,
        recipients=tuple(recipients),
        reason=reason,
    )
    await ledger.append_all((record,), keys=(key,) if key else (), suppressions=suppressions)
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


class TextChanged(ValueError):
    """The form was shown with another text than the field has now: show it again, and record nothing."""


class ConsentField:
    """A consent box for a Starlette form: never ticked beforehand, and bound to the exact text that it shows.

    `field.html()` goes into the template, `await field.record(request, form, subject=...)` into the handler.
    """

    def __init__(
        self,
        name: str,
        *,
        purpose: str,
        text: str,
        language: str = "en",
        recipients: Iterable[str] = (),
        version: int | None = None,
    ) -> None:
        self.name = name
        self.purpose = purpose
        self.text = text
        self.language = language
        self.recipients = tuple(recipients)
        self.version = version
        self._digest = hashlib.sha256(text.encode()).hexdigest()

    def html(self) -> str:
        """The box with its label, and the hash of its text in a hidden field."""
        name = escape(self.name)
        return (
            f'<input type="hidden" name="{name}-text" value="{self._digest}">'
            f'<label><input type="checkbox" name="{name}" value="yes"> {escape(self.text)}</label>'
        )

    async def record(self, request: Request, form: Mapping[str, object], *, subject: str) -> ConsentRecord:
        """Record what was answered, a box left empty as a refusal. Raises TextChanged, LedgerUnavailable."""
        if form.get(f"{self.name}-text") != self._digest:
            raise TextChanged(f"{self.name}: the form was shown with another text")
        return await record_consent(
            request.scope,
            purpose=self.purpose,
            given=form.get(self.name) == "yes",
            text=self.text,
            subject=subject,
            language=self.language,
            recipients=self.recipients,
            version=self.version,
        )
