"""One door for every choice made in a browser: durable in the ledger first, cookies after.

What is appended depends on what went before:

    a first consent                    "given", under a new record id
    the same or more purposes          "renewed" or "given", under the same record id
    some purposes taken back           "withdrawn" under the old record id, "given" for the rest under a new one
    everything taken back              "withdrawn" under the old record id; the new cookie carries no id
    refused, with no record before     an anonymous refusal: day, purposes, language, method

A record that was withdrawn is dead: every worker refuses cookies that name it, even copies of them.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from consent_middleware import erasures, gate
from consent_middleware.capture import visitor_key
from consent_middleware.decision import Choice, Decision, refusal
from consent_middleware.ledger import ConsentRecord, Refusal
from consent_middleware.ledger.record import SCHEMA, new_record_id, purposes_map
from consent_middleware.ledger.subject_keys import SubjectKey
from consent_middleware.token import visitor_cookie_name

if TYPE_CHECKING:
    from starlette.types import Scope

    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

VISITOR_DAYS = 13 * 30  # at most 13 months (CNIL 2020-091), never renewed
VISITOR_ID = re.compile(r"[A-Za-z0-9_-]{22}")
VISITOR_SUBJECT = "visitor:"


class Outcome(msgspec.Struct, frozen=True):
    """What a choice came to: the choice as the cookie carries it, whole Set-Cookie values, the last entry."""

    choice: Choice
    set_cookies: list[bytes]
    record: ConsentRecord | None


async def decide(
    services: Services, scope: Scope, *, granted: frozenset[str], method: str, language: str, shown: bytes
) -> Outcome:
    """Record a choice; durable when it returns. `shown` is the exact text that the visitor saw; it is kept by its hash.

    Purposes that the policy does not offer are not granted. Raises LedgerUnavailable: then nothing was decided, and no
    cookie may be set.
    """
    policy = services.policy
    decision: Decision = scope["consent"]
    granted &= policy.optional_purposes
    clock = round(time.time(), 3)
    now = int(clock)
    notice = await services.ledger.notice(shown, language, policy.revision)
    cookies = _request_cookies(scope)
    secure = scope.get("scheme") in ("https", "wss")
    visitor_name = visitor_cookie_name(secure).encode()
    visitor = _visitor_id(cookies.get(visitor_name))
    before = decision.granted & policy.optional_purposes if decision.record_id else frozenset()
    withdrawn = before - granted
    keeps_record = decision.record_id is not None and bool(granted) and not withdrawn

    entries: list[ConsentRecord | Refusal] = []
    keys: list[SubjectKey] = []
    owed: list[erasures.Erasure] = []
    common = _Common(policy, decision, notice, method, language, clock)

    if decision.record_id is not None and not keeps_record:
        entries.append(
            common.record(
                decision.record_id,
                "withdrawn",
                purposes=purposes_map(before, granted & before),
                until=_until(policy, now),
            )
        )
        if policy.capture.purpose in withdrawn and visitor is not None:
            owed.append(erasures.new_erasure(visitor_key(visitor)))

    issue_visitor = False
    if granted:
        if policy.capture.purpose not in granted:
            visitor_kept = None
        else:
            issue_visitor = visitor is None
            visitor_kept = visitor or secrets.token_urlsafe(16)
        record_id = decision.record_id if keeps_record and decision.record_id else new_record_id()
        sealed = ""
        if visitor_kept is not None:
            sealed, key = await services.ledger.sealed_subject(
                record_id, VISITOR_SUBJECT + visitor_kept, new=not keeps_record
            )
            keys += [key] if key is not None else []
        entries.append(
            common.record(
                record_id,
                "renewed" if keeps_record and before == granted else "given",
                purposes=purposes_map(policy.optional_purposes, granted),
                until=_until(policy, now),
                subject=sealed,
                previous=(decision.record_id or "") if withdrawn else "",
            )
        )
        choice = Choice(granted, record_id, now, policy.fingerprint, signals=decision.signals)
    else:
        visitor_kept = None
        if not entries:
            entries.append(common.refusal())
        choice = refusal(policy, now)

    await services.ledger.append_all(
        entries, keys=keys, counts=common.counts(before, granted), owed=[(e.visitor, e.ticket) for e in owed]
    )
    # From here on the choice is durable.
    record = next((entry for entry in reversed(entries) if isinstance(entry, ConsentRecord)), None)
    for entry in entries:
        if isinstance(entry, ConsentRecord) and entry.revokes:
            services.revocations.add(entry)
    for erasure in owed:
        await erasures.send(services.ledger, services.spool, erasure)

    set_cookies = [services.tokens.set_cookie(choice, secure=secure)]
    if issue_visitor and visitor_kept is not None:
        set_cookies.append(_visitor_cookie(visitor_name, visitor_kept, secure))
    refused = policy.optional_purposes - granted
    set_cookies += gate.expire(policy, names=list(cookies), purposes=refused, host=_host(scope), secure=secure)
    return Outcome(choice, set_cookies, record)


class _Common:
    """What every entry of one choice has in common."""

    def __init__(
        self, policy: PrivacyPolicy, decision: Decision, notice: str, method: str, language: str, now: float
    ) -> None:
        self._policy = policy
        self._decision = decision
        self._notice = notice
        self._method = method
        self._language = language
        self._now = now
        self._day = dt.datetime.fromtimestamp(now, dt.UTC).date().isoformat()

    def record(
        self,
        record_id: str,
        event: str,
        *,
        purposes: dict[str, bool],
        until: int,
        subject: str = "",
        previous: str = "",
    ) -> ConsentRecord:
        return ConsentRecord(
            schema=SCHEMA,
            record_id=record_id,
            event=event,
            at=self._now,
            controller=self._policy.controller.name,
            notice=self._notice,
            language=self._language,
            revision=self._policy.revision,
            fingerprint=self._policy.fingerprint,
            purposes=purposes,
            method=self._method,
            regime=self._decision.regime,
            signals=self._decision.signals,
            until=until,
            subject=subject,
            previous=previous,
        )

    def refusal(self) -> Refusal:
        return Refusal(
            schema=SCHEMA,
            day=self._day,
            controller=self._policy.controller.name,
            notice=self._notice,
            language=self._language,
            revision=self._policy.revision,
            fingerprint=self._policy.fingerprint,
            purposes=tuple(sorted(self._policy.optional_purposes)),
            method=self._method,
            regime=self._decision.regime,
        )

    def counts(self, before: Iterable[str], granted: frozenset[str]) -> list[tuple[str, str, str]]:
        """Counters of this choice: the choice as a whole, and each purpose by method."""
        offered = self._policy.optional_purposes
        whole = "accept" if granted == offered and offered else "save" if granted else "reject"
        whats = [whole, *(f"{'yes' if p in granted else 'no'} {p} {self._method}" for p in sorted(offered))]
        whats += [f"withdrawn {purpose} {self._method}" for purpose in sorted(set(before) - granted)]
        return [(self._day, what, self._language) for what in whats]


def _until(policy: PrivacyPolicy, now: int) -> int:
    return now + policy.consent.lifetime_days * 86_400


def _request_cookies(scope: Scope) -> dict[bytes, bytes]:
    cookies: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name.lower() == b"cookie":
            for pair in value.split(b";"):
                key, _, content = pair.strip().partition(b"=")
                cookies.setdefault(key, content)
    return cookies


def _visitor_id(value: bytes | None) -> str | None:
    text = (value or b"").decode("latin-1")
    return text if VISITOR_ID.fullmatch(text) else None


def _visitor_cookie(name: bytes, visitor: str, secure: bool) -> bytes:
    flags = b"; Secure" if secure else b""
    return b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b" % (
        name,
        visitor.encode(),
        VISITOR_DAYS * 86_400,
        flags,
    )


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name.lower() == b"host":
            return bytes(value).decode("latin-1")
    return ""
