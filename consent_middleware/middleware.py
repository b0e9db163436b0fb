"""ConsentMiddleware: the whole request in order. The only room that touches scope, receive and send."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from sys import get_asyncgen_hooks
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_middleware.answer import Answer, ResponseGate
from consent_middleware.compiling import mypyc_attr
from consent_middleware.country import ClientResolver
from consent_middleware.declared import FilteredCookie
from consent_middleware.document import Documents
from consent_middleware.opening import Opening
from consent_middleware.policy import PolicyError, PrivacyPolicy
from consent_middleware.reader import RequestReader
from consent_middleware.services import ConfigurationError, Services, data_dir_from, open_services, secrets_from
from consent_middleware.startup import say_in_one_line
from consent_middleware.token import ConsentTokens
from consent_middleware.visit_handle import VisitHandle

log = logging.getLogger("consent_middleware")

HUNDRED = 100
WAITING_NAMES = 1000
SETTLING_S = 0.01  # a request that was about to count does so meanwhile; it takes no lock


@mypyc_attr(allow_interpreted_subclasses=True)
class ConsentMiddleware:
    """Wraps any ASGI application and enforces its privacy policy.

    `policy` is a file or a loaded policy; `data_dir` falls back to `CONSENT_DATA_DIR` or `var`, `secret_keys` (newest
    last) to `CONSENT_SECRET_KEYS`. Raises PolicyError or ConfigurationError when it can't start; after that, nothing
    that goes wrong in here reaches the site: it is counted in `counts`, logged once, and decided against the cookie.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: str | Path | PrivacyPolicy = "privacy.toml",
        data_dir: str | Path | None = None,
        secret_keys: Sequence[str] | None = None,
        *,
        ledger_url: str | None = None,
    ) -> None:
        say_in_one_line(PolicyError, ConfigurationError)
        self.app = app
        self.policy = policy if isinstance(policy, PrivacyPolicy) else PrivacyPolicy.load(policy)
        self.counts: Counter[str] = Counter()
        self._waiting: dict[tuple[bytes, bytes], int] = {}  # dropped names that the inventory has not heard of
        self._keys = secrets_from(secret_keys)
        self._tokens = ConsentTokens(self._keys, self.policy)
        self._clients = ClientResolver(self.policy)
        self._reader = RequestReader(self.policy, self._tokens, self._clients, self._bad_token, self._undeclared)
        self._data_dir = data_dir_from(data_dir)
        self._ledger_url = ledger_url
        self._opening = Opening(self._open, self.counts)
        self._documents = Documents(self.policy, self._failed)
        self._changes_pages = self._documents.active
        self._gate = ResponseGate(self._reader.rules, self._documents, self._failed, self._report)
        prefix = self.policy.site.prefix
        self._own_paths = {prefix, "/.well-known/gpc.json"} | (
            {"/api/event"} if self.policy.capture.plausible else set()
        )
        self._own_folder = prefix + "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked: dict[str, Any] = scope if isinstance(scope, dict) else dict(scope)
        kind: str = asked["type"]
        if kind != "http" and kind != "websocket":
            if kind == "lifespan":
                return await self._opening.lifespan(self.app, scope, receive, send)
            return await self.app(scope, receive, send)

        opening = self._opening
        services = opening.services if opening.running is get_asyncgen_hooks()[0] else None
        if services is None:
            services = await opening.ready()
        try:
            reading = self._reader.read(asked, services.revocations.ids if services else ())
            page = self._documents.read(asked, reading) if self._changes_pages else None
        except Exception:
            self._failed("a request could not be read")
            reading, page = self._reader.undecided(asked), None
        verdict = reading.verdict

        path: str = asked["path"]
        if root := asked.get("root_path"):
            path = path.removeprefix(root)
        if kind == "http" and (path.startswith(self._own_folder) or path in self._own_paths):
            router = opening.router
            if services is None or router is None:
                return await _unavailable(asked, receive, send)
            scheme = "https" if reading.secure else "http"
            ours = {**asked, "consent": verdict.decision, "consent.services": services, "scheme": scheme}
            return await router(ours, receive, send)

        seen = dict(asked)  # and then key by key: twice as fast as a display
        seen["headers"] = reading.headers
        seen["consent"] = verdict.decision
        seen["consent.services"] = services
        if services is not None:
            seen["visit"] = VisitHandle(services.capture, asked, reading.found, verdict.decision, verdict.visitor_id)
        if page is not None:
            seen |= self._documents.for_site(asked, reading, page)
        answer = Answer(self._gate, asked, reading, page, services, send)
        return await self.app(seen, receive, answer.send)

    def rotate_keys(self, secret_keys: Sequence[str]) -> None:
        """Take another list of keys, newest last, while running. Cookies of other keys lose their force."""
        self._keys[:] = secrets_from(secret_keys)
        self._tokens.rotate(self._keys)

    async def close(self) -> None:
        """Close what this worker holds open, where no lifespan does it. The next request opens it again."""
        await self._opening.close()

    async def _open(self) -> Services:
        services = await open_services(
            self.policy, self._data_dir, self._keys, self._ledger_url, tokens=self._tokens, client=self._clients
        )
        services.inventory.waiting = self._taken_from_waiting
        return services

    def _failed(self, what: str) -> None:
        """Count a failure of our own, inside an except block, and log the first one of its kind."""
        self.counts[what] += 1
        if self.counts[what] == 1:
            log.exception("%s (logged once; counted from here on)", what)

    def _report(self, cookie: FilteredCookie, host: bytes) -> None:
        """Count what became of a Set-Cookie header that did not pass as it was, and put it into the inventory."""
        self.counts[f"cookie {cookie.reason}"] += 1
        if cookie.reason == "undeclared":
            self._undeclared((cookie.name,), host)
            if self._opening.services is not None:
                self._opening.services.inventory.site_cookie(cookie.name.decode("latin-1"))
        elif cookie.reason != "not-granted" and self._opening.services is not None:
            self._opening.services.inventory.note(f"cookie {cookie.reason}", cookie.name.decode("latin-1"))

    def _bad_token(self, reason: str) -> None:
        self.counts[f"token {reason}"] += 1

    def _undeclared(self, names: tuple[bytes, ...], host: bytes) -> None:
        """Count dropped names: the first since the last writing at once, which sets a timer; others by the hundred."""
        services, known = self._opening.services, self._waiting
        if services is None:
            return  # nobody would write it down
        for name in names:
            key = (name, host)
            waiting = known.get(key, HUNDRED - 1) + 1
            if waiting >= HUNDRED:
                times = HUNDRED if key in known else 1
                services.inventory.undeclared_cookie(name.decode("latin-1"), host.decode("latin-1"), times)
                if key not in known and len(known) >= WAITING_NAMES:
                    continue
                waiting = 0
            known[key] = waiting

    def _taken_from_waiting(self) -> Iterable[tuple[str, str, int]]:
        """What the inventory has not heard of, in its own thread. From here on each name is a first one again."""
        taken, self._waiting = self._waiting, {}
        time.sleep(SETTLING_S)
        for (name, host), times in list(taken.items()):
            if times:
                yield name.decode("latin-1"), host.decode("latin-1"), times


_unavailable = PlainTextResponse("This page is not available at the moment.", 503, {"retry-after": "10"})
