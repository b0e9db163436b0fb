"""Who is asking: a bearer token, or the dashboard's session cookie; and how often a stranger may try."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

from analytics.reports.access import LINK, Access, Grant

COOKIE = "analytics-session"
SESSION_SECONDS = 12 * 3600


class Sessions:
    """Signed cookies that name a grant; the grant itself is looked up each time, so that revoking works at once."""

    def __init__(self, access: Access) -> None:
        self.access = access

    def _signer(self) -> URLSafeTimedSerializer:
        options = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        return URLSafeTimedSerializer(self.access.book.key, salt="dashboard", signer_kwargs=options)

    def seal(self, grant: Grant) -> str:
        value = self._signer().dumps(grant.id)
        return value if isinstance(value, str) else value.decode()

    def open(self, value: str) -> Grant | None:
        try:
            id_ = self._signer().loads(value, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        return self.access.by_id(id_) if isinstance(id_, str) else None


class Attempts:
    """At most `limit` failures a window for each address, bounded in memory; then the door stays shut for a while."""

    def __init__(self, limit: int = 10, window: float = 300.0, remembered: int = 10_000) -> None:
        self.limit, self.window, self.remembered = limit, window, remembered
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def blocked(self, who: str) -> bool:
        recent = [at for at in self._failures.get(who, []) if time.monotonic() - at < self.window]
        return len(recent) >= self.limit

    def failed(self, who: str) -> None:
        now = time.monotonic()
        recent = [at for at in self._failures.pop(who, []) if now - at < self.window]
        self._failures[who] = [*recent, now][-self.limit :]
        while len(self._failures) > self.remembered:
            self._failures.popitem(last=False)


class Guard:
    """Finds the grant of a request."""

    def __init__(self, access: Access, *, public: bool = False) -> None:
        """`public`: the owner opens the released lane to everybody."""
        self.access, self.sessions, self.attempts = access, Sessions(access), Attempts()
        self.public = Grant("public", "visitor", LINK, (), "", "") if public else None

    def grant(self, request: HTTPConnection) -> Grant | None:
        """The active grant; a wrong bearer token counts as a failed attempt."""
        authorization = request.headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            found = self.access.find(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                self.attempts.failed(address(request))
            return found
        cookie = request.cookies.get(COOKIE, "")
        return (self.sessions.open(cookie) if cookie else None) or self.public

    def blocked(self, request: HTTPConnection) -> bool:
        return self.attempts.blocked(address(request))


def address(request: HTTPConnection) -> str:
    return request.client.host if request.client else "unknown"
