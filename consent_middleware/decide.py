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
from consent_middleware.erasures import new_erasure
from consent_middleware.ledger import ConsentRecord, Refusal
from consent_middleware.ledger.rates import AGAIN
from consent_middleware.ledger.record import SCHEMA, new_record_id, purposes_map
from consent_middleware.ledger.subject_keys import SubjectKey
from consent_middleware.token import BadToken, ConsentTokens, consent_cookie_name, visitor_cookie_name

if TYPE_CHECKING:
    from starlette.types import Scope

    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

VISITOR_DAYS = 13 * 30  # at most 13 months (CNIL 2020-091), never renewed
VISITOR_ID = re.compile(r"[A-Za-z0-9_-]{22}")
VISITOR_SUBJECT = "visitor:"


class Outcome(msgspec.Struct, frozen=True):
    """What a choice came to: the choice as the cookie carries it, whole Set-Cookie values, the last entry, and whether
    rows captured before are owed an erasure."""

    choice: Choice
    set_cookies: list[bytes]
    record: ConsentRecord | None
    erases: bool = False


async def decide(
    services: Services, scope: Scope, *, granted: frozenset[str], method: str, language: str, shown: bytes
) -> Outcome:
    """Record a choice; durable when it returns. `shown` is the exact text that the visitor saw; it is kept by its hash.

    Purposes that the policy does not offer are not granted. Raises LedgerUnavailable: then nothing was decided, and no
    cookie may be set.
    """
    policy, ledger = services.policy, services.ledger
    decision: Decision = scope["consent"]
    clock = round(time.time(), 3)
    granted &= policy.optional_purposes
    notice = await ledger.notice(shown, language, policy.revision)
    common = _Common(policy, decision, notice, method.lower(), language, clock)
    browser = _Browser(scope)
    before = decision.granted & policy.optional_purposes if decision.record_id else frozenset()
    taken_back = before - granted
    old = decision.record_id
    continues = old is not None and bool(granted) and not taken_back

    entries: list[ConsentRecord | Refusal] = []
    keys: list[SubjectKey] = []
    visitor: str | None = None
    if old is not None and not continues:
        # A signal may have denied everything already; then all that could have been granted is taken back.
        entries.append(
            common.record(old, "withdrawn", purposes_map(before or policy.optional_purposes, granted & before))
        )
    if granted:
        record_id = old if old is not None and continues else new_record_id()
        sealed = ""
        if policy.capture.purpose in granted:
            # An id from before a withdrawal is not taken up again: its rows are erased, and these must not join them.
            stands = policy.capture.purpose in before or browser.outgrown(services.tokens)
            visitor = (browser.visitor if stands else None) or secrets.token_urlsafe(16)
            sealed, key = await ledger.sealed_subject(record_id, VISITOR_SUBJECT + visitor, new=not continues)
            keys += [key] if key is not None else []
        entries.append(
            common.record(
                record_id,
                "renewed" if continues and before == granted else "given",
                purposes_map(policy.optional_purposes, granted),
                subject=sealed,
                previous=old if old is not None and not continues else "",
            )
        )
        choice = Choice(granted, record_id, int(clock), policy.fingerprint, signals=decision.signals)
    else:
        if not entries:
            entries.append(common.refusal())
        choice = refusal(policy, clock)
    # Also for the cookie of a consent that the policy has outgrown: this browser says no now.
    erasure = new_erasure(visitor_key(browser.visitor)) if browser.visitor and visitor is None else None

    await ledger.append_all(
        entries,
        keys=keys,
        counts=common.counts(before, granted),
        owed=[(erasure.visitor, erasure.ticket)] if erasure else (),
    )
    # From here on the choice is durable.
    records = [entry for entry in entries if isinstance(entry, ConsentRecord)]
    for record in records:
        if record.revokes:
            services.revocations.add(record)
    if erasure is not None:
        await erasures.send(ledger, services.spool, erasure)
    set_cookies = [services.tokens.set_cookie(choice, secure=browser.secure)]
    if visitor is not None and visitor != browser.visitor:
        set_cookies.append(browser.visitor_cookie(visitor))
    set_cookies += gate.expire(
        policy,
        names=list(browser.cookies),
        purposes=policy.optional_purposes - granted,
        host=browser.host,
        secure=browser.secure,
    )
    return Outcome(choice, set_cookies, records[-1] if records else None, erases=erasure is not None)


class _Browser:
    """What the request says of the browser that chose: its cookies, its host, whether it came by https."""

    def __init__(self, scope: Scope) -> None:
        self.secure = scope.get("scheme") in ("https", "wss")
        self.host = ""
        self.cookies: dict[bytes, bytes] = {}
        for raw_name, value in scope["headers"]:
            name = raw_name.lower()
            if name == b"cookie":
                for cookie, content in gate.cookie_pairs(value):
                    self.cookies.setdefault(cookie, content)
            elif name == b"host":
                self.host = value.decode("latin-1")
        self._visitor_name = visitor_cookie_name(self.secure).encode()
        visitor = self.cookies.get(self._visitor_name, b"").decode("latin-1")
        self.visitor = visitor if VISITOR_ID.fullmatch(visitor) else None

    def outgrown(self, tokens: ConsentTokens) -> bool:
        """Whether its consent stood until the policy changed: its rows go on being its own to see."""
        try:
            tokens.decode(self.cookies.get(consent_cookie_name(self.secure).encode(), b""))
        except BadToken as error:
            return error.reason == "wrong-policy"
        return False

    def visitor_cookie(self, visitor: str) -> bytes:
        flags = b"; Secure" if self.secure else b""
        return b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b" % (
            self._visitor_name,
            visitor.encode(),
            VISITOR_DAYS * 86_400,
            flags,
        )


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
        self, record_id: str, event: str, purposes: dict[str, bool], *, subject: str = "", previous: str = ""
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
            until=int(self._now) + self._policy.consent.lifetime_days * 86_400,
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
        if self._decision.decided:
            whats.append(AGAIN)
        return [(self._day, what, self._language) for what in whats]
