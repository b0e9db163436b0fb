"""One response on its way out: which of its cookies pass, who may store it, and what capture is told of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consent_middleware.bounded import BoundedCache
from consent_middleware.caching import make_private
from consent_middleware.capture import CLIENT_HINTS
from consent_middleware.declared import FilteredCookie
from consent_middleware.document import Document, Documents
from consent_middleware.gate import CookieRules, deletions, filter_set_cookie
from consent_middleware.request_headers import Pair

if TYPE_CHECKING:
    from consent_middleware.document import PageRequest
    from consent_middleware.reading import Reading
    from consent_middleware.services import Services

Message = dict[str, Any]
Headers = Sequence[Pair]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SET_COOKIE: Final = 1
CONTENT_TYPE: Final = 2
CONTENT_LENGTH: Final = 3
_SLOTS: Final = {b"set-cookie": SET_COOKIE, b"content-type": CONTENT_TYPE, b"content-length": CONTENT_LENGTH}
REMEMBERED: Final = 512
REMEMBERED_BYTES: Final = 64
_UNKNOWN: Final = (KeyError, TypeError)  # the second for what can't be looked up, as a bytearray


class ResponseGate:
    """What all responses of one middleware share: the rules for each scheme, and who is told of what was found."""

    def __init__(
        self,
        rules: dict[bool, CookieRules],
        documents: Documents,
        failed: Callable[[str], None],
        report: Callable[[FilteredCookie, bytes], None],
    ) -> None:
        self.rules = rules
        self.documents = documents
        self.active = documents.active
        self.failed = failed
        self.report = report
        self.slots: dict[Any, int] = {}
        self.types: dict[Any, bool] = {}
        self._deletions: BoundedCache[tuple[tuple[bytes, ...], bytes, bool], list[tuple[bytes, bytes]]] = BoundedCache(
            entries=512, size=500_000
        )

    def deletions(self, names: tuple[bytes, ...], host: bytes, secure: bool) -> list[tuple[bytes, bytes]]:
        """Headers that delete declared cookies which the browser still sends although nothing grants them."""
        key = (names, host, secure)
        found = self._deletions[key]
        if found is None:
            values = deletions(names, self.rules[secure], host=host.decode("latin-1"))
            found = [(b"set-cookie", value) for value in values]
            self._deletions.put(key, found, sum(map(len, values)) + 200)
        return found

    def slot(self, name: Any) -> int:
        """Which of the headers that matter this is, whatever the case of its letters; 0 for all others."""
        name = as_bytes(name)
        slot = _SLOTS.get(name.lower(), 0)
        if len(self.slots) < REMEMBERED and len(name) <= REMEMBERED_BYTES:
            self.slots[name] = slot
        return slot

    def is_html(self, value: Any) -> bool:
        """Whether a Content-Type header says so. Sites have few, and say them with each response."""
        value = as_bytes(value)
        is_html = bool(value[:9].lower() == b"text/html")
        if len(self.types) < REMEMBERED and len(value) <= REMEMBERED_BYTES:
            self.types[value] = is_html
        return is_html


class Answer:
    """The messages of one response, in order: `send` takes what the site sends, and lets go what may leave instead."""

    __slots__ = (
        *("_bytes", "_document", "_gate", "_has_length", "_held", "_is_page", "_page", "_reading", "_released"),
        *("_scope", "_send", "_services", "_status", "_verdict"),
    )

    def __init__(
        self,
        gate: ResponseGate,
        scope: Message,
        reading: Reading,
        page: PageRequest | None,
        services: Services | None,
        send: Send,
    ) -> None:
        self._gate = gate
        self._scope = scope
        self._reading = reading
        self._verdict = reading.verdict
        self._page = page
        self._services = services
        self._send = send
        self._is_page = self._has_length = False
        self._status = self._bytes = 0
        self._document: Document | None = None
        self._held: Message | None = None
        self._released: Message | None = None  # a head that has to leave before the message that follows it

    def send(self, sent: MutableMapping[str, Any]) -> Awaitable[None]:
        """Pass a message on, as it may leave. What the middleware does not know leaves as it is."""
        message = sent if isinstance(sent, dict) else dict(sent)
        kind: str = message["type"]
        if kind == "http.response.body":
            message = self._body(message)
        elif kind in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            head = self._start(message)
            if head is None:
                return _later()
            message = head
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            message = self._file(message)
        elif kind == "http.response.early_hint":
            hint = self._hint(message)
            if hint is None:
                return _later()
            message = hint
        if self._released is not None:
            head, self._released = self._released, None
            return _in_turn(self._send, head, message)
        return self._send(message)

    def _hint(self, message: Message) -> Message | None:
        """An early hint without the links to third parties that may not be contacted. None: nothing is left of it."""
        given = message.get("links") or ()
        links = list(given)
        try:
            kept = self._gate.documents.agreed_hints(links, self._reading)
        except Exception:
            self._gate.failed("an early hint could not be read, and was dropped")
            return None
        if kept == links:
            return message if isinstance(given, list | tuple) else {**message, "links": links}
        return {**message, "links": kept} if kept else None

    def _start(self, message: Message) -> Message | None:
        """The head of a response, of an accepted WebSocket, or of a denied one. None: it waits for the body."""
        status: int = message.get("status", 101)
        self._status = status
        headers = message.get("headers") or ()
        if type(headers) is not list and not isinstance(headers, tuple):
            headers = list(headers)
            message = {**message, "headers": headers}
        gate = self._gate
        slots = gate.slots
        has_cookies = is_html = spelt_otherwise = False
        for pair in headers:
            try:
                slot = slots[pair[0]]
            except _UNKNOWN:
                slot = gate.slot(pair[0])
                spelt_otherwise = spelt_otherwise or type(pair[0]) is not bytes
            if slot:
                # A memoryview is found like the bytes that it shows.
                spelt_otherwise = spelt_otherwise or type(pair[0]) is not bytes
                if slot == SET_COOKIE:
                    has_cookies = True
                elif slot == CONTENT_TYPE:
                    try:
                        is_html = gate.types[pair[1]]
                    except _UNKNOWN:
                        is_html = gate.is_html(pair[1])
                else:
                    self._has_length = True
        if spelt_otherwise:
            headers = [(as_bytes(name), as_bytes(value)) for name, value in headers]
            message = {**message, "headers": headers}
        if has_cookies:
            headers, has_cookies = self._filtered(headers)
            message = {**message, "headers": headers}
        if message["type"] != "http.response.start":
            return message
        if is_html or (status == 304 and self._reading.document):
            self._is_page = status == 304 or not 300 <= status < 400
            if gate.active or self._verdict.lapsed:
                try:
                    return self._start_page(message, headers, has_cookies)
                except Exception:
                    self._gate.failed("a page could not be prepared, and left without banner and CSP")
                    self._document = None
        if has_cookies:
            # A shared cache that stores a Set-Cookie hands it to the next visitor.
            message = {**message, "headers": make_private(headers)}
        return message

    def _body(self, message: Message) -> Message:
        """A part of the body. The page view is written down before the last one leaves."""
        last = not message.get("more_body", False)
        if self._document is not None:
            chunk = self._document.body(message.get("body", b""), last=last)
            message = {**message, "body": chunk}
            self._release(len(chunk) if last else None)
            self._bytes += len(chunk)
        else:
            self._bytes += len(message.get("body", b""))
        if last and self._is_page and self._services is not None:
            self._services.capture.page_view(self._scope, self._reading, self._status, self._bytes)
        return message

    def _file(self, message: Message) -> Message:
        """A file that the server sends by itself: it passes unchanged, and its size is not seen here."""
        self._released, self._held = self._held, None
        if self._is_page and self._services is not None and not message.get("more_body", False):
            self._services.capture.page_view(self._scope, self._reading, self._status, self._bytes)
        return message

    def _start_page(self, message: Message, headers: Headers, has_cookies: bool) -> Message | None:
        reading, verdict, documents = self._reading, self._verdict, self._gate.documents
        before, changes = headers, False
        if documents.active:
            request = self._page or documents.request(self._scope, reading)
            document = Document(documents, request, self._services)
            headers, changes = document.head(self._status, headers)
            if changes:
                self._document = document
        if documents.differ and verdict.visitor_id is not None and reading.secure:
            # Only somebody who agreed to statistics is asked for more about the browser; nobody else sees this page.
            headers = [*headers, (b"accept-ch", CLIENT_HINTS)]
        if verdict.lapsed and self._status != 304:
            headers = [*headers, *self._gate.deletions(verdict.lapsed, reading.host, reading.secure)]
            has_cookies = True
        if has_cookies:
            headers = make_private(headers)
        if headers is not before:
            message = {**message, "headers": headers}
        if not changes:
            return message
        if self._has_length and self._scope.get("method") != "HEAD":
            # The site knows its whole body already, so its first part follows at once, perhaps with the new length.
            self._held = message
            return None
        return {**message, "headers": without_length(headers)}

    def _release(self, length: int | None) -> None:
        """Let the held head go before the part of the body that just became known."""
        held, self._held = self._held, None
        if held is not None:
            headers = without_length(held["headers"])
            if length is not None:
                headers.append((b"content-length", b"%d" % length))
            self._released = {**held, "headers": headers}

    def _filtered(self, headers: Headers) -> tuple[Headers, bool]:
        """The headers without the cookies that may not be set, the lifetimes of the others cut; and if one is left."""
        gate, reading = self._gate, self._reading
        rules, allowed, now = gate.rules[reading.secure], self._verdict.allowed, time.time()
        kept: list[Pair] = []
        passed = False
        known, slot = gate.slots.get, gate.slot
        for pair in headers:
            name = pair[0]
            if (known(name) or slot(name)) != SET_COOKIE:
                kept.append(pair)
                continue
            try:
                value = as_bytes(pair[1])
                cookie = filter_set_cookie(value, rules, allowed, now)
            except Exception:
                gate.failed("a Set-Cookie header could not be read, and was dropped")
                continue
            if cookie.reason:
                gate.report(cookie, reading.host)
            if cookie.value is not None:
                kept.append(pair if cookie.value is value else (name, cookie.value))
                passed = True
        return kept, passed


def as_bytes(text: Any) -> bytes:
    """A name or value of a header. Some servers take text, or a buffer, where the specification has bytes."""
    if type(text) is bytes:
        return text
    return text.encode("latin-1") if isinstance(text, str) else bytes(memoryview(text))


def without_length(headers: Headers) -> list[Pair]:
    return [pair for pair in headers if pair[0].lower() != b"content-length"]


async def _later() -> None:
    """Nothing leaves yet."""


async def _in_turn(send: Send, *messages: Message) -> None:
    for message in messages:
        await send(message)
