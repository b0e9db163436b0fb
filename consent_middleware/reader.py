"""What a request says about its visitor: cookies, signals and country become a Decision, once per Cookie header."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from consent_middleware.bounded import BoundedCache
from consent_middleware.country import TrustedProxies
from consent_middleware.decision import DNT, GPC, Choice, Decision, holds_until, resolve
from consent_middleware.declared import KeptCookies
from consent_middleware.gate import CookieRules
from consent_middleware.reading import Reading
from consent_middleware.request_headers import (
    COOKIE,
    DO_NOT_TRACK,
    HOST,
    PROTO,
    SEC_GPC,
    find_headers,
    with_cookie,
)
from consent_middleware.rows import fixed_ending
from consent_middleware.token import BadToken, ConsentTokens
from consent_middleware.verdict import Verdict
from consent_middleware.visit import basis_of

if TYPE_CHECKING:
    from consent_middleware.country import ClientResolver
    from consent_middleware.policy import PrivacyPolicy

Scope = dict[str, Any]
Key = bytes | tuple[bytes, bool, bool, bool, str]  # Cookie header; https, GPC, DNT, regime

CACHED_HEADERS: Final = 4096
CACHED_BYTES: Final = 4_000_000
VERDICT_BYTES: Final = 600  # what a verdict takes beside the header itself
_VISITOR_ID: Final = re.compile(rb"[A-Za-z0-9_-]{22}")  # 16 random bytes, as decide.py issues them
_SECURE: Final = frozenset({"https", "wss"})
_SIGNALS: Final = {(False, False): (), (True, False): (GPC,), (False, True): (DNT,), (True, True): (GPC, DNT)}
_ALWAYS: Final = float("inf")


class RequestReader:
    """Reads scopes under one policy; pure apart from its bounded caches and the clock.

    `bad_token(reason)` and `undeclared(names, host)` hear of what each newly seen Cookie header holds.
    """

    def __init__(
        self,
        policy: PrivacyPolicy,
        tokens: ConsentTokens,
        clients: ClientResolver,
        bad_token: Callable[[str], None],
        undeclared: Callable[[tuple[bytes, ...], bytes], None],
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
        # Visitors who granted the same share one set.
        self._allowed = lru_cache(1024)(policy.required_purposes.union)
        self.rules = {secure: CookieRules(policy, secure=secure) for secure in (True, False)}
        self._verdicts: BoundedCache[Key, Verdict] = BoundedCache(entries=CACHED_HEADERS, size=CACHED_BYTES)

    def read(self, scope: Scope, revoked: Container[str | None]) -> Reading:
        """Decide for one http or websocket scope. `revoked` holds the consent records that were withdrawn elsewhere."""
        headers = scope.get("headers") or ()
        if type(headers) is not list and not isinstance(headers, tuple):
            headers = list(headers)
        found = find_headers(headers)
        secure = scope.get("scheme") in _SECURE
        if found[PROTO] and self._proxies.trusts(peer_of(scope)):
            secure = found[PROTO].rpartition(b",")[2].strip() in (b"https", b"wss")
        cookie = found[COOKIE]
        regime = self._only_regime or self._policy.regime_of(self._clients.resolve(scope).country)
        gpc, dnt = found[SEC_GPC] == b"1", self._honour_dnt and found[DO_NOT_TRACK] == b"1"
        # What most requests have in common is left out of the key: bytes alone are found faster than a tuple.
        usual = secure and self._only_regime is not None and not gpc and not dnt
        key: Key = cookie if usual else (cookie, secure, gpc, dnt, regime)
        verdict = self._verdicts[key]
        now = time.time()
        if (
            verdict is None
            or verdict.ends <= now
            or verdict.generation != self._tokens.generation
            or verdict.record_id in revoked
        ):
            verdict = self._judge(key, cookie, secure, _SIGNALS[gpc, dnt], regime, found[HOST], revoked, now)
        if verdict.strips:
            headers = with_cookie(headers, cookie, verdict.cookie)
        return Reading(verdict, headers, found, secure, now)

    def undecided(self, scope: Scope) -> Reading:
        """The reading of a request that could not be read: nothing is granted, and no cookie reaches the site."""
        headers = [(name, value) for name, value in scope.get("headers") or () if name.lower() != b"cookie"]
        decision = resolve(self._policy, None, signals=(GPC,), regime="opt-in")
        secure = scope.get("scheme") in _SECURE
        verdict = self._verdict(decision, self._allowed(decision.granted), KeptCookies(None), None, 0.0)
        return Reading(verdict, headers, find_headers(()), secure, time.time())

    def _judge(
        self,
        key: Key,
        cookie: bytes,
        secure: bool,
        signals: tuple[str, ...],
        regime: str,
        host: bytes,
        revoked: Container[str | None],
        now: float,
    ) -> Verdict:
        """Work a verdict out and keep it."""
        rules = self.rules[secure]
        cookies = rules.read(cookie)
        choice, trouble = None, ""
        for value in cookies.values(rules.consent):  # the first that can be believed
            try:
                choice, trouble = self._tokens.decode(value, now), ""
                break
            except BadToken as bad:
                trouble = trouble or bad.reason
        ends = _ALWAYS
        if choice is not None:
            ends = self._tokens.expires(choice)
            if self._lapses:
                ends = min(ends, holds_until(self._policy, choice, now))
            if choice.record_id in revoked:
                # Withdrawn elsewhere, by e-mail perhaps. The cookie stays: a newer one may be on its way already.
                choice = Choice(frozenset(), None, choice.at, choice.fingerprint)
        if trouble:
            self._bad_token(trouble)
        lapsing = now if self._lapses else None
        decision = resolve(self._policy, choice, signals=signals, regime=regime, now=lapsing)
        allowed = self._allowed(decision.granted)
        kept = cookies.filtered(allowed)
        visitor_id = None
        if rules.visitor.purpose in allowed:
            for value in cookies.values(rules.visitor)[:1]:
                visitor_id = value.decode() if _VISITOR_ID.fullmatch(value) else None
        if kept.undeclared:
            self._undeclared(kept.undeclared, host)
        verdict = self._verdict(decision, allowed, kept, visitor_id, ends)
        if trouble != "expired":  # by a clock that may be set right: here, or on the host that signed it
            self._verdicts.put(key, verdict, 2 * len(cookie) + VERDICT_BYTES)
        return verdict

    def _verdict(
        self, decision: Decision, allowed: frozenset[str], kept: KeptCookies, visitor_id: str | None, ends: float
    ) -> Verdict:
        basis = basis_of(self._policy, decision)
        return Verdict(
            decision,
            allowed,
            kept.value,
            bool(kept.undeclared or kept.not_granted),
            tuple(dict.fromkeys(kept.not_granted)) if kept.not_granted else (),
            visitor_id,
            basis,
            fixed_ending(basis, visitor_id, decision.revision),
            ends,
            self._tokens.generation,
            decision.record_id,
        )


def peer_of(scope: Scope) -> str:
    """The address that the connection comes from; `unix` when the server names none."""
    client = scope.get("client")
    return str(next(iter(client), "") or "unix") if client else "unix"
