"""One HTML page on its way out: CSP, caching and validators of its head; banner and held third parties in its body.

A page differs with the decision of whoever asked for it. So its ETag carries a mark of that decision, the browser asks
again before it shows a kept copy, and no shared cache may keep one - unless the site is cache-friendly: then the page
is the same for everyone, and the script in it asks for the decision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware import csp, pages
from consent_middleware.bounded import BoundedCache
from consent_middleware.caching import make_uncached, vary_by
from consent_middleware.hints import agreed_links
from consent_middleware.holding import Holder
from consent_middleware.html import HtmlGate
from consent_middleware.once import NONE, shown_once
from consent_middleware.pages.banner import asks
from consent_middleware.pages.revisions import is_news
from consent_middleware.request_headers import ACCEPT_LANGUAGE, HOST, OLD_PURPOSE, PURPOSE, REFERER, USER_AGENT
from consent_middleware.rewritten import Rewritten, RewrittenPages
from consent_middleware.validators import mark_of, marked, unmarked

if TYPE_CHECKING:
    from consent_middleware.decision import Decision
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.policy_sections import Vendor
    from consent_middleware.reading import Reading
    from consent_middleware.services import Services

Scope = MutableMapping[str, Any]
Headers = Sequence[tuple[bytes, bytes]]

WITHOUT_BODY: Final = frozenset({204, 205, 304})
PART: Final = 206
# They describe the bytes that the site made, not those that leave.
_DIGESTS: Final = frozenset({b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"})
# All that the head of a page is changed by; what ends in the last two speaks to one kind of shared cache.
_MATTER: Final = _DIGESTS | {csp.ENFORCE, b"link", b"etag", b"vary", b"cache-control", b"content-encoding"}
ENCODING, MATCH, SINCE = 1, 2, 3
_CONDITIONS: Final = {b"accept-encoding": ENCODING, b"if-none-match": MATCH, b"if-modified-since": SINCE}
_CACHES: Final = (b"cdn-cache-control", b"surrogate-control")
REMEMBERED_NAMES: Final = 512
REMEMBERED_NAME_BYTES: Final = 64
REMEMBERED_ADDITIONS: Final = 512
REMEMBERED_STANDINGS: Final = 1024
_LANGUAGE: Final = re.compile(rb"<html\b[^>]{0,500}?\slang\s*=\s*[\"']?([A-Za-z-]{2,35})", re.IGNORECASE)
_TYPE: Final = b"content-type"
_CHARSET: Final = re.compile(rb"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_FILE_EXTENSIONS: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class Standing(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What a decision and a language make of every page; one object for all who have both in common."""

    decision: Decision
    allowed: frozenset[str]  # purposes whose third parties may stand in the page
    once: frozenset[str]  # third parties that may stand in it this time only
    reachable: frozenset[str]  # purposes whose third parties the browser may speak to
    language: str  # unless the page names its own
    asks: bool  # whether a banner stands on the page, and asks
    mark: bytes  # of the ETags of pages made for this decision


class PageRequest(msgspec.Struct, frozen=True, gc=False):
    """What matters of a request that a page answers."""

    standing: Standing
    found: list[bytes]  # headers, by the places of request_headers
    scope: Scope
    secure: bool

    @property
    def host(self) -> str:
        return self.found[HOST].decode("latin-1")

    @property
    def has_body(self) -> bool:
        return bool(self.scope.get("method") != "HEAD")

    @property
    def return_to(self) -> str:
        """Where somebody who chose without JavaScript comes back to."""
        path, query = self.scope.get("path") or "/", self.scope.get("query_string")
        return f"{path}?{query.decode('latin-1')}" if query else path

    @property
    def ahead(self) -> bytes:
        """Not empty, as in "prefetch", when the browser loads the page before anybody asked for it."""
        return self.found[PURPOSE] or self.found[OLD_PURPOSE]


class Documents:
    """What the pages of one middleware have in common."""

    def __init__(self, policy: PrivacyPolicy, failed: Callable[[str], None]) -> None:
        self.policy = policy
        self.failed = failed
        self.rewritten = RewrittenPages()
        self.inserts = policy.site.insert
        self.friendly = policy.site.cache == "friendly"
        self.everything = policy.optional_purposes | policy.required_purposes
        optional_vendors = any(vendor.purpose in policy.optional_purposes for vendor in policy.vendors)
        # Whether pages, or their CSP, differ from one visitor to the next.
        self.active = self.inserts or policy.site.csp != "off"
        self.differ = not self.friendly and (self.inserts or (policy.site.csp == "enforce" and optional_vendors))

        self._names: dict[bytes, bool] = {}
        self._conditions: dict[bytes, int] = {}
        self._standings: BoundedCache[tuple[object, ...], Standing] = BoundedCache(
            entries=REMEMBERED_STANDINGS, size=REMEMBERED_STANDINGS
        )
        self.added = lru_cache(REMEMBERED_ADDITIONS)(self._added)

    def plain(self, headers: Headers) -> bool:
        """Whether nothing in the head of a page matters, as in most: then the same headers are added to each."""
        known = self._names
        for name, _ in headers:
            try:
                matters = known[name]
            except KeyError:
                lower = name.lower()
                matters = lower in _MATTER or lower.endswith(_CACHES)
                if len(known) < REMEMBERED_NAMES and len(name) <= REMEMBERED_NAME_BYTES:
                    known[bytes(name)] = matters
            if matters:
                return False
        return True

    def _added(self, reachable: frozenset[str], once: frozenset[str], secure: bool) -> tuple[tuple[bytes, bytes], ...]:
        """What a plain head gets: the Content-Security-Policy, and who may keep the page."""
        return tuple(self.kept_by_nobody(self.with_csp([], (), reachable, once, secure)))

    def with_csp(
        self, headers: Headers, site: Sequence[bytes], reachable: frozenset[str], once: frozenset[str], secure: bool
    ) -> Headers:
        """The headers with our Content-Security-Policy beside `site`, the site's own."""
        if self.policy.site.csp == "off":
            return headers
        merged = csp.merge(self.policy, reachable.__contains__, site, once=once, secure=secure)
        return [*(pair for pair in headers if pair[0].lower() != csp.ENFORCE), *merged.pairs()]

    def kept_by_nobody(self, headers: Headers) -> Headers:
        """The headers of a page that is another one for the next visitor."""
        if not self.differ:
            return headers
        names = (b"Cookie", b"Accept-Language") if len(self.policy.site.languages) > 1 else (b"Cookie",)
        return make_uncached(vary_by(headers, *names))

    def read(self, scope: Scope, reading: Reading) -> PageRequest | None:
        """What a page depends on, when the browser wants one and pages are changed at all."""
        wanted = reading.document and self.active and scope["type"] == "http"
        return self.request(scope, reading) if wanted else None

    def agreed_hints(self, links: list[bytes], reading: Reading) -> list[bytes]:
        """The links of an early hint that may be followed before the page is there."""
        allowed = reading.verdict.decision.required if self.friendly else reading.verdict.allowed
        holder = Holder(self.policy, allowed.__contains__, reading.host.decode("latin-1"), None)
        return [kept for link in links if (kept := agreed_links(link, holder))]

    def request(self, scope: Scope, reading: Reading) -> PageRequest:
        """Read what a page depends on."""
        found, verdict = reading.found, reading.verdict
        query = scope.get("query_string")
        once = shown_once(self.policy, query, reading.headers) if query and not self.friendly else NONE
        language = pages.pick_language(self.policy, b"" if self.friendly else found[ACCEPT_LANGUAGE])
        decision, allowed = verdict.decision, verdict.allowed
        key = (decision.decided, decision.granted, decision.regime, decision.signals, allowed, once, language)
        standing = self._standings[key]
        if standing is None:
            standing = self._standing(decision, allowed, once, language)
            self._standings.put(key, standing, 1)
        return PageRequest(standing, found, scope, reading.secure)

    def _standing(self, decision: Decision, allowed: frozenset[str], once: frozenset[str], language: str) -> Standing:
        friendly = self.friendly
        return Standing(
            decision=msgspec.structs.replace(decision, record_id=None, at=None),  # whose it is makes no difference
            allowed=decision.required if friendly else allowed,
            once=once,
            reachable=self.everything if friendly else allowed,
            language=language,
            asks=not friendly and asks(decision),
            mark=b"" if friendly else mark_of(decision, once, language, self.policy.fingerprint),
        )

    def for_site(self, scope: Scope, reading: Reading, page: PageRequest) -> Scope:
        """What the site sees of a request for a page: an uncompressed one is wanted, under the site's own ETags, and
        not from a file that the server would send unseen."""
        if not self.inserts:
            return {}
        mark, known = page.standing.mark, self._conditions
        changed: list[tuple[bytes, bytes]] = []
        for pair in reading.headers:
            name, value = pair
            try:
                condition = known[name]
            except KeyError:
                condition = self._condition(name)
            if condition:
                if condition == ENCODING or (condition == SINCE and mark):
                    continue  # a date does not know the decision
                if condition == MATCH:
                    value = unmarked(value, mark)
                    if not value:
                        continue
                    pair = (name, value)
            changed.append(pair)
        changed.append((b"accept-encoding", b"identity"))
        extensions = scope.get("extensions")
        if extensions and not _FILE_EXTENSIONS.isdisjoint(extensions):
            kept = {name: value for name, value in extensions.items() if name not in _FILE_EXTENSIONS}
            return {"headers": changed, "extensions": kept}
        return {"headers": changed}

    def _condition(self, name: bytes) -> int:
        """Which of the request's headers that decide on the form of an answer this is; 0 for all others."""
        condition = _CONDITIONS.get(name.lower(), 0)
        if len(self._conditions) < REMEMBERED_NAMES and len(name) <= REMEMBERED_NAME_BYTES:
            self._conditions[bytes(name)] = condition
        return condition


class Document:
    """One page: `head` first, then `body` for each part."""

    def __init__(self, documents: Documents, request: PageRequest, services: Services | None) -> None:
        self._documents = documents
        self._request = request
        self._services = services
        self._rewrites = False
        self._encoding = ""
        self._gate: HtmlGate | None = None
        self._nonce: str | None = None
        self._inline_allowed = True
        self._page_language: str | None = None
        self._counted = self._has_banner = False
        self._undeclared: list[str] = []

    def head(self, status: int, headers: Headers) -> tuple[Headers, bool]:
        """The headers that leave, and whether the body will be changed."""
        documents, request = self._documents, self._request
        if status == 200 and documents.plain(headers):
            if documents.inserts:
                self._rewrites = request.has_body
                self._encoding = _charset(_content_type(headers))
            standing = request.standing
            return [*headers, *documents.added(standing.reachable, standing.once, request.secure)], documents.inserts
        found = {name.lower(): value for name, value in headers}
        headers = self._with_csp(self._without_hints(headers))
        compressed = found.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity")
        changes = documents.inserts and status not in WITHOUT_BODY and status != PART and not compressed
        if compressed and documents.inserts and self._services is not None:
            self._services.inventory.note("compressed page", request.host)
        if changes:
            self._encoding = _charset(found.get(_TYPE, b""))
            self._rewrites = request.has_body
            headers = [(name, value) for name, value in headers if name.lower() not in _DIGESTS]
        if changes or status == 304:
            headers = marked(headers, request.standing.mark)
        return documents.kept_by_nobody(headers), changes

    def body(self, chunk: bytes, *, last: bool) -> bytes:
        """The bytes that leave instead of these. When our own code fails, the rest of the page passes as it is."""
        if not self._rewrites:
            return chunk
        gate, left = self._gate, b""
        try:
            if gate is None:
                if last and self._nonce is None:
                    return self._whole(bytes(chunk))  # some send a bytearray or a memoryview, which are no keys
                self._read_language(chunk)
                gate = self._gate = self._make_gate()
            elif self._page_language is None:
                self._read_language(chunk)
            left = gate.feed(chunk)
            return left + gate.close() if last else left
        except Exception:
            self._documents.failed("a page could not be rewritten, and passed as it was")
            self._rewrites = False
            return chunk if gate is None else left + gate.abandon()

    def _read_language(self, chunk: bytes) -> None:
        if found := _LANGUAGE.search(chunk[:4096]):
            self._page_language = found[1].decode("ascii")

    def _whole(self, page: bytes) -> bytes:
        """A page that came in one piece, which may be known from before."""
        request, memory = self._request, self._documents.rewritten
        scope = request.scope
        key = (
            *(page, request.standing, self._encoding, self._inline_allowed, self._services is None),
            *(is_news(self._documents.policy), request.found[HOST], scope.get("path"), scope.get("query_string")),
        )
        known = memory.get(key)
        if known is None:
            self._read_language(page)
            gate = self._make_gate()
            rewritten = gate.feed(page) + gate.close()
            memory.put(key, len(page), Rewritten(rewritten, self._language(), (*self._undeclared,), self._has_banner))
            return rewritten
        if self._services is not None:
            for host in known.undeclared:
                self._services.inventory.blocked_host(host)
            if known.has_banner and request.standing.asks:
                self._count_impression(known.language)
        return known.page

    def _without_hints(self, headers: Headers) -> Headers:
        """Link headers fetch as the link elements of a page do."""
        if not any(name.lower() == b"link" for name, _ in headers):
            return headers
        request, standing = self._request, self._request.standing
        holder = Holder(self._documents.policy, standing.allowed.__contains__, request.host, None, standing.once)
        kept = ((name, agreed_links(value, holder) if name.lower() == b"link" else value) for name, value in headers)
        return [(name, value) for name, value in kept if value]

    def _with_csp(self, headers: Headers) -> Headers:
        documents, request, standing = self._documents, self._request, self._request.standing
        site = [value for name, value in headers if name.lower() == csp.ENFORCE]
        self._nonce = csp.nonce_of(site)
        self._inline_allowed = not site or self._nonce is not None
        return documents.with_csp(headers, site, standing.reachable, standing.once, request.secure)

    def _make_gate(self) -> HtmlGate:
        documents, request, services = self._documents, self._request, self._services
        return HtmlGate(
            policy=documents.policy,
            allows=request.standing.allowed.__contains__,
            host=request.host,
            head=pages.head(services, nonce=self._nonce) if services else b"",
            body=self._banner if services else b"",
            placeholder=self._placeholder if services else None,
            encoding=self._encoding,
            nonce=self._nonce,
            once=request.standing.once,
            inline_allowed=self._inline_allowed,
            undeclared=self._note_undeclared if services else None,
        )

    def _language(self) -> str:
        policy, named = self._documents.policy, self._page_language
        return (named and pages.named_language(policy, named)) or self._request.standing.language

    def _banner(self) -> bytes:
        documents, request, services = self._documents, self._request, self._services
        assert services is not None
        decision = None if documents.friendly else request.standing.decision
        language = self._language()
        self._has_banner = True
        self._count_impression(language)
        return pages.banner(services, decision, language=language, return_to=request.return_to, nonce=self._nonce)

    def _count_impression(self, language: str) -> None:
        """Count a banner that asks, once a page, where somebody will see it."""
        request = self._request
        if self._counted or not request.standing.asks:
            return
        self._counted = True
        found = request.found
        if self._services is not None and not request.ahead and not pages.is_crawler(found[USER_AGENT]):
            pages.count_impression(self._services, referer=found[REFERER], host=request.host, language=language)

    def _note_undeclared(self, host: str) -> None:
        assert self._services is not None
        self._undeclared.append(host)
        self._services.inventory.blocked_host(host)

    def _placeholder(self, vendor: Vendor, url: str) -> bytes:
        assert self._services is not None
        return pages.placeholder(self._services, vendor, language=self._language(), return_to=self._request.return_to)


def _content_type(headers: Headers) -> bytes:
    """The last one holds."""
    return next((value for name, value in reversed(headers) if name == _TYPE or name.lower() == _TYPE), b"")


@lru_cache(64)
def _charset(content_type: bytes) -> str:
    found = _CHARSET.search(content_type)
    return found[1].decode("latin-1") if found else ""
