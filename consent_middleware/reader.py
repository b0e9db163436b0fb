"""What a request says about its visitor: cookies, signals and country become a Decision, once per Cookie header."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware.bounded import BoundedCache
from consent_middleware.country import TrustedProxies
from consent_middleware.decision import DNT, GPC, Choice, Decision, holds_until, resolve
from consent_middleware.gate import CookieRules, cookie_pairs, cookie_values, filter_request_cookies
from consent_middleware.request_headers import (
    ACCEPT,
    COOKIE,
    DESTINATION,
    DO_NOT_TRACK,
    HOST,
    PROTO,
    SEC_GPC,
    find_headers,
    with_cookie,
)
from consent_middleware.token import BadToken, ConsentTokens, consent_cookie_name, visitor_cookie_name

if TYPE_CHECKING:
    from consent_middleware.country import ClientResolver
    from consent_middleware.policy import PrivacyPolicy

Scope = MutableMapping[str, Any]
Headers = Sequence[tuple[bytes, bytes]]
Key = tuple[bytes, bool, tuple[str, ...], str]  # Cookie header, https, signals, regime

CACHED_HEADERS: Final = 4096
CACHED_BYTES: Final = 4_000_000
VERDICT_BYTES: Final = 600  # what a verdict takes beside the header itself
_VISITOR_ID: Final = re.compile(rb"[A-Za-z0-9_-]{22}")  # 16 random bytes, as decide.py issues them
_SECURE: Final = frozenset({"https", "wss"})
_SIGNALS: Final = {(False, False): (), (True, False): (GPC,), (False, True): (DNT,), (True, True): (GPC, DNT)}
_PAGE_DESTINATIONS: Final = frozenset({b"document", b"iframe", b"frame", b"embed", b"object"})
_CONSENT: Final = {secure: consent_cookie_name(secure).encode() for secure in (True, False)}
_VISITOR: Final = {secure: visitor_cookie_name(secure).encode() for secure in (True, False)}


class Verdict(msgspec.Struct, frozen=True):
    """What follows from one Cookie header under one regime and one set of signals."""

    decision: Decision
    visitor_id: str | None  # only while its purpose is granted
    cookie: bytes | None  # what is left of the header
    stripped: tuple[bytes, ...]
    lapsed: tuple[bytes, ...]  # of these, the declared ones: their consent is missing
    allowed: frozenset[str]
    ends: float  # unix time until which this holds
    generation: int  # of the keys that verified it
    record_id: str | None


class Reading(msgspec.Struct, frozen=True):
    """One request, read."""

    verdict: Verdict
    headers: Headers  # as the site may see them
    found: list[bytes]  # what matters of them, by the places of request_headers
    secure: bool
    document: bool  # the browser wants a page, as far as it can be told

    @property
    def host(self) -> bytes:
        return self.found[HOST]


class RequestReader:
    """Reads scopes under one policy; pure apart from its bounded caches and the clock.

    `bad_token(reason)` and `undeclared(name, host)` hear of what each newly seen Cookie header holds.
    """

    def __init__(
        self,
        policy: PrivacyPolicy,
        tokens: ConsentTokens,
        clients: ClientResolver,
        bad_token: Callable[[str], None],
        undeclared: Callable[[bytes, bytes], None],
    ) -> None:
        self._policy = policy
        self._tokens = tokens
        self._clients = clients
        self._bad_token = bad_token
        self._undeclared = undeclared
        self._proxies = TrustedProxies(policy.site.trusted_proxies)
        self._honour_dnt = policy.consent.honour_dnt
        self._lapses = any(purpose.lifetime_days is not None for purpose in policy.purposes)
        regimes = policy.consent.regimes
        self._only_regime = None if set(regimes) - {"default"} else policy.regime_of("")
        self.rules = {secure: CookieRules(policy, secure=secure) for secure in (True, False)}
        self._verdicts: BoundedCache[Key, Verdict] = BoundedCache(entries=CACHED_HEADERS, size=CACHED_BYTES)

    def read(self, scope: Scope, revoked: Callable[[str], bool]) -> Reading:
        """Decide for one http or websocket scope. `revoked` says whether a consent record was withdrawn elsewhere."""
        headers = scope.get("headers") or ()
        if not isinstance(headers, list | tuple):
            headers = list(headers)
        found = find_headers(headers)
        secure = scope.get("scheme") in _SECURE
        if found[PROTO] and self._proxies.trusts(peer_of(scope)):
            secure = found[PROTO].rpartition(b",")[2].strip() in (b"https", b"wss")
        signals = _SIGNALS[found[SEC_GPC] == b"1", self._honour_dnt and found[DO_NOT_TRACK] == b"1"]
        regime = self._only_regime or self._policy.regime_of(self._clients.resolve(scope).country)
        key = (found[COOKIE], secure, signals, regime)
        verdict = self._verdicts.get(key)
        if (
            verdict is None
            or verdict.ends <= time.time()
            or verdict.generation != self._tokens.generation
            or (verdict.record_id is not None and revoked(verdict.record_id))
        ):
            verdict = self._judge(key, found[HOST], revoked)
        if verdict.stripped:
            headers = with_cookie(headers, verdict.cookie)
        destination = found[DESTINATION]
        document = destination in _PAGE_DESTINATIONS if destination else b"text/html" in found[ACCEPT]
        return Reading(verdict, headers, found, secure, document)

    def undecided(self, scope: Scope) -> Reading:
        """The reading of a request that could not be read: nothing is granted, and no cookie reaches the site."""
        headers = [(name, value) for name, value in scope.get("headers") or () if name.lower() != b"cookie"]
        decision = resolve(self._policy, None, signals=(GPC,), regime="opt-in")
        secure = scope.get("scheme") in ("https", "wss")
        allowed = decision.required
        return Reading(
            Verdict(decision, None, None, (), (), allowed, 0, 0, None), headers, find_headers(()), secure, False
        )

    def _judge(self, key: Key, host: bytes, revoked: Callable[[str], bool]) -> Verdict:
        """Work a verdict out and keep it."""
        cookie, secure, signals, regime = key
        now = time.time()
        pairs = cookie_pairs(cookie) if cookie else []
        choice, trouble = self._choice(cookie_values(pairs, _CONSENT[secure]), now)
        ends = float("inf")
        if choice is not None:
            ends = self._tokens.expires(choice)
            if self._lapses:
                ends = min(ends, holds_until(self._policy, choice, now))
            if choice.record_id is not None and revoked(choice.record_id):
                # Withdrawn elsewhere, by e-mail perhaps. The cookie stays: a newer one may be on its way already.
                choice = Choice(frozenset(), None, choice.at, choice.fingerprint)
        if trouble:
            self._bad_token(trouble)
        decision = resolve(self._policy, choice, signals=signals, regime=regime, now=now if self._lapses else None)
        allowed = decision.granted | decision.required
        rules = self.rules[secure]
        kept = filter_request_cookies(cookie, pairs, rules, allowed)
        visitor_id = None
        if self._policy.capture.purpose in allowed:
            found = next(iter(cookie_values(pairs, _VISITOR[secure])), b"")
            visitor_id = found.decode() if _VISITOR_ID.fullmatch(found) else None
        for name in kept.stripped:
            if rules.find(name) is None:
                self._undeclared(name, host)
        verdict = Verdict(
            decision=decision,
            visitor_id=visitor_id,
            cookie=kept.value,
            stripped=kept.stripped,
            lapsed=tuple(dict.fromkeys(name for name in kept.stripped if rules.find(name))),
            allowed=allowed,
            ends=ends,
            generation=self._tokens.generation,
            record_id=decision.record_id,
        )
        if trouble != "expired":  # by a clock that may be set right: here, or on the host that signed it
            self._verdicts.put(key, verdict, 2 * len(cookie) + VERDICT_BYTES)
        return verdict

    def _choice(self, values: list[bytes], now: float) -> tuple[Choice | None, str]:
        """The first consent cookie that can be believed, or why none can."""
        trouble = ""
        for value in values:
            try:
                return self._tokens.decode(value, now), ""
            except BadToken as bad:
                trouble = trouble or bad.reason
        return None, trouble


def peer_of(scope: Scope) -> str:
    """The address that the connection comes from; `unix` when the server names none."""
    client = scope.get("client")
    return str(next(iter(client), "") or "unix") if client else "unix"
