"""One response on its way out: which of its cookies pass, who may store it, and what capture is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consent_middleware.caching import make_private
from consent_middleware.gate import CookieRules, FilteredCookie, deletions, filter_set_cookie

if TYPE_CHECKING:
    from consent_middleware.reader import Reading
    from consent_middleware.services import Services

Message = MutableMapping[str, Any]
Headers = Sequence[tuple[bytes, bytes]]

SET_COOKIE, CONTENT_TYPE = 1, 2
_SLOTS: Final = {b"set-cookie": SET_COOKIE, b"content-type": CONTENT_TYPE}
REMEMBERED_NAMES: Final = 512
_PAGE_TYPES: Final = (b"text/html", b"application/xhtml+xml")


class ResponseGate:
    """What all responses of one middleware share: the rules for each scheme, and who is told of what was found."""

    def __init__(
        self,
        rules: dict[bool, CookieRules],
        failed: Callable[[str], None],
        report: Callable[[FilteredCookie, bytes], None],
    ) -> None:
        self.rules = rules
        self.failed = failed
        self.report = report
        self._slots: dict[bytes, int] = {}

    def slot(self, name: bytes) -> int:
        """Which of the headers that matter this is, whatever the case of its letters; 0 for all others."""
        try:
            return self._slots[name]
        except KeyError:
            slot = _SLOTS.get(name.lower(), 0)
            if len(self._slots) < REMEMBERED_NAMES and len(name) <= 64:
                self._slots[bytes(name)] = slot
            return slot


class Answer:
    """The messages of one response, in order; each method returns the message that leaves instead."""

    __slots__ = ("_bytes", "_gate", "_is_page", "_reading", "_scope", "_services", "_started_ns", "_status")

    def __init__(self, gate: ResponseGate, scope: Message, reading: Reading, services: Services | None) -> None:
        self._gate = gate
        self._scope = scope
        self._reading = reading
        self._services = services
        self._started_ns = time.perf_counter_ns()
        self._is_page = False
        self._status = 0
        self._bytes = 0

    def start(self, message: Message) -> Message:
        """The head of a response, of an accepted WebSocket, or of a denied one."""
        self._status = message.get("status", 101)
        headers = message.get("headers")
        if not headers:
            return message
        if not isinstance(headers, list | tuple):
            headers = list(headers)
            message = {**message, "headers": headers}
        has_cookies = False
        for name, value in headers:
            slot = self._gate.slot(name)
            if slot == SET_COOKIE:
                has_cookies = True
            elif slot == CONTENT_TYPE:
                self._is_page = value[:21].lower().startswith(_PAGE_TYPES)
        if has_cookies:
            headers = self._filtered(headers)
            has_cookies = any(self._gate.slot(name) == SET_COOKIE for name, _ in headers)
            message = {**message, "headers": headers}
        over_http = message["type"] == "http.response.start"
        if over_http and self._is_page and self._reading.verdict.lapsed and self._status != 304:
            headers = [*headers, *((b"set-cookie", value) for value in self._expiry())]
            has_cookies = True
            message = {**message, "headers": headers}
        if has_cookies and over_http:
            # A shared cache that stores a Set-Cookie hands it to the next visitor.
            message["headers"] = make_private(headers)
        return message

    def body(self, message: Message) -> Message:
        """A part of the body. The page view is written down before the last one leaves."""
        self._bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._finish()
        return message

    def file(self, message: Message) -> Message:
        """A file that the server sends by itself: its size is not seen here."""
        if not message.get("more_body", False):
            self._finish()
        return message

    def _filtered(self, headers: Headers) -> Headers:
        """The headers without the cookies that may not be set, and the lifetimes of the others cut."""
        gate, reading = self._gate, self._reading
        rules, allowed, now = gate.rules[reading.secure], reading.verdict.allowed, time.time()
        kept: list[tuple[bytes, bytes]] = []
        for pair in headers:
            name, value = pair
            if gate.slot(name) != SET_COOKIE:
                kept.append(pair)
                continue
            try:
                cookie = filter_set_cookie(value, rules, allowed, now)
            except Exception:
                gate.failed("a Set-Cookie header could not be read, and was dropped")
                continue
            if cookie.reason:
                gate.report(cookie, reading.host)
            if cookie.value is value:
                kept.append(pair)
            elif cookie.value is not None:
                kept.append((name, cookie.value))
        return kept

    def _expiry(self) -> list[bytes]:
        """Deletions of declared cookies that the browser still sends although their purpose is not granted."""
        reading = self._reading
        verdict = reading.verdict
        rules = self._gate.rules[reading.secure]
        return deletions(verdict.lapsed, rules, host=reading.host.decode("latin-1"))

    def _finish(self) -> None:
        services, verdict = self._services, self._reading.verdict
        if services is None or not self._is_page or self._scope["type"] != "http":
            return
        services.capture.page_view(
            self._scope,
            verdict.decision,
            visitor_id=verdict.visitor_id,
            status=self._status,
            bytes_sent=self._bytes,
            started_ns=self._started_ns,
        )
