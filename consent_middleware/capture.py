"""What a request leaves behind: page views and events on their way into the spool, under the basis that allows them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware import visit
from consent_middleware.bounded import BoundedCache
from consent_middleware.events_api import ScriptEvent
from consent_middleware.request_headers import BROWSER, HOST, REFERER
from consent_middleware.visit import Captured

if TYPE_CHECKING:
    from consent_middleware.country import ClientResolver
    from consent_middleware.decision import Decision
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.salts import DailySalts
    from consent_middleware.spool import Spool

Scope = MutableMapping[str, Any]
log = logging.getLogger(__name__)
VIEW_SECONDS: Final = 30.0
REMEMBERED_VIEWS: Final = 4096
_encode = msgspec.json.Encoder().encode

WITH_VISITOR: Final = frozenset({"consent", "opt-out"})
# Places in an encoded row.
KIND, STATUS, PROTOCOL = (Captured.__struct_fields__.index(name) for name in ("kind", "status", "protocol"))

# Asked for with Accept-CH, after consent only.
CLIENT_HINTS = b"Sec-CH-UA-Full-Version-List, Sec-CH-UA-Platform-Version, Sec-CH-UA-Model"
_HINT_HEADERS = {
    b"sec-ch-ua": 0,
    b"sec-ch-ua-full-version-list": 1,
    b"sec-ch-ua-platform": 2,
    b"sec-ch-ua-platform-version": 3,
    b"sec-ch-ua-mobile": 4,
    b"sec-ch-ua-model": 5,
}


@lru_cache(65_536)
def visitor_key(visitor_id: str) -> int:
    """64 bits of BLAKE2b over the visitor cookie's value; 0 stands for none. The id itself never reaches the spool."""
    return int.from_bytes(hashlib.blake2b(visitor_id.encode(), digest_size=8).digest(), "big") or 1


class Capture:
    """Page views and events of one worker. No method raises or waits, except `event_durable`, which does both."""

    def __init__(
        self, policy: PrivacyPolicy, spool: Spool, clients: ClientResolver, salts: DailySalts | None = None
    ) -> None:
        self.policy = policy
        self.spool = spool
        self.failures = 0
        self._clients = clients
        self._salts = salts
        self._site = policy.site.site_id
        self._own_hosts = frozenset(host.partition(":")[0].removeprefix("www.") for host in policy.site.hosts)
        self._allowed = frozenset(policy.capture.query_parameters)
        self._exclude = policy.capture.exclude
        self._plausible = policy.capture.plausible
        self._views: dict[tuple[int, str], float] = {}
        self._site_json = _encode(self._site)
        self._pages: BoundedCache[tuple[object, ...], bytes] = BoundedCache(entries=2048, size=2_000_000)
        self._browsers: BoundedCache[tuple[object, ...], bytes] = BoundedCache(entries=4096, size=6_000_000)
        self._path = lru_cache(4096)(self._path_uncached)
        self._query = lru_cache(4096)(self._query_uncached)
        self._referrer = lru_cache(4096)(self._referrer_uncached)
        self._automated = lru_cache(4096)(visit.looks_automated)

    def page_view(
        self,
        scope: Scope,
        decision: Decision,
        *,
        visitor_id: str | None,
        status: int,
        response_headers: Iterable[tuple[bytes, bytes]] = (),
        bytes_sent: int = 0,
        started_ns: int = 0,
        found: list[bytes] | None = None,
    ) -> None:
        """Record one answered request. Never raises, never waits.

        `started_ns` is of time.perf_counter_ns; `found` what request_headers found, where the caller has it already.
        """
        try:
            basis = visit.basis_of(self.policy, decision)
            if basis is None:
                return
            duration = (time.perf_counter_ns() - started_ns) // 1_000_000 if started_ns else 0
            if visitor_id and found is not None and basis in WITH_VISITOR:
                line = self._line(scope, basis, decision.revision, visitor_id, status, bytes_sent, duration, found)
                if line is not None:
                    self.spool.append(line)
                return
            path = self._path(scope.get("path", "/"))
            if path is None:
                return
            row = self._row(scope, basis, decision.revision, visitor_id, path, status, bytes_sent, duration)
            self.spool.append(_encode(row))
            if self._plausible and row.visitor:
                self._remember_view(row.visitor, path)
        except Exception:  # a page is served whatever happens here; the counter and the log say that something did
            self.failures += 1
            log.exception("a page view could not be captured")

    def _line(
        self,
        scope: Scope,
        basis: str,
        revision: int,
        visitor_id: str,
        status: int,
        bytes_sent: int,
        duration: int,
        found: list[bytes],
    ) -> bytes | None:
        """A view as it is encoded by `_row`, put together from two remembered parts: the page and the browser.

        Their time is the only thing that differs between two views of one page by one visitor.
        """
        path = self._path(scope.get("path", "/"))
        if path is None:
            return None
        of_page = (path, scope.get("query_string"), found[HOST], found[REFERER], scope.get("method"))
        of_browser = (
            *found[BROWSER],
            visitor_id,
            scope.get("http_version"),
            self._clients.origin(scope),
            basis,
            revision,
        )
        page, browser = self._pages.get(of_page), self._browsers.get(of_browser)
        if page is None or browser is None:
            row = self._row(scope, basis, revision, visitor_id, path, 0, 0, 0)
            fields = [bytes(field) for field in msgspec.json.decode(_encode(row), type=list[msgspec.Raw])]
            page = b",".join(fields[KIND:STATUS])
            browser = b",".join(fields[PROTOCOL:])
            self._pages.put(of_page, page, len(page) + _length(of_page) + 400)
            self._browsers.put(of_browser, browser, len(browser) + _length(of_browser) + 800)
        if self._plausible:
            self._remember_view(visitor_key(visitor_id), path)
        return b"[%b,%d,%b,%d,%d,%d,%b]" % (
            self._site_json,
            time.time_ns() // 1_000_000,
            page,
            status,
            bytes_sent,
            duration,
            browser,
        )

    def event(
        self,
        scope: Scope,
        decision: Decision,
        visitor_id: str | None,
        name: str,
        props: Mapping[str, object] | None = None,
    ) -> None:
        """Record something that the site itself reports. Never raises, never waits."""
        try:
            row = self.event_row(scope, decision, visitor_id, name, props)
            if row is not None:
                self.spool.append(row)
        except Exception:
            self.failures += 1
            log.exception("an event could not be captured")

    def event_row(
        self,
        scope: Scope,
        decision: Decision,
        visitor_id: str | None,
        name: str,
        props: Mapping[str, object] | None = None,
        **more: Any,
    ) -> bytes | None:
        """One encoded event, or None when no basis allows one. `more` are fields of Captured the caller checked."""
        basis = visit.basis_of(self.policy, decision)
        if basis is None or basis == "counts" or not self.policy.capture.interactions:
            return None
        path = self._path(more.pop("path", None) or scope.get("path", "/"))
        if path is None:
            return None
        row = self._row(scope, basis, decision.revision, visitor_id, path, 0, 0, 0)
        kept = clean_props(props or {})
        changes = {"kind": "event", "name": name[:120], "method": "", "props": kept, **more}
        return _encode(msgspec.structs.replace(row, **changes))

    def script_event_row(
        self, scope: Scope, decision: Decision, visitor_id: str | None, event: ScriptEvent
    ) -> bytes | None:
        """One encoded event of a script; None when no basis allows it, empty when the page view is known already."""
        basis = visit.basis_of(self.policy, decision)
        path = self._path(event.path)
        if basis is None or basis == "counts" or path is None or not self.policy.capture.interactions:
            return None
        view = event.name == "pageview"
        row = self._row(scope, basis, decision.revision, visitor_id, path, 0, 0, 0)
        if view and self._just_viewed(row.visitor, path):
            return b""
        return _encode(
            msgspec.structs.replace(
                row,
                kind="view" if view else "event",
                name=event.name,
                host=event.host or row.host,
                query=visit.scrub_query(event.query, self._allowed),
                referrer=visit.referrer_host(event.referrer, self._own_hosts),
                method="",
                props=clean_props(event.props),
                revenue=event.amount,
                currency=event.currency,
                engagement_ms=event.engagement_ms,
                scroll=event.scroll,
                screen=event.screen,
            )
        )

    def _just_viewed(self, visitor: int, path: str) -> bool:
        """A tracker reports the page that was served a moment ago: the same view, unless the script moved on."""
        return time.monotonic() - self._views.pop((visitor, path), -VIEW_SECONDS) < VIEW_SECONDS

    def _remember_view(self, visitor: int, path: str) -> None:
        if len(self._views) >= REMEMBERED_VIEWS:
            self._views.clear()
        self._views[visitor, path] = time.monotonic()

    def handle(self, scope: Scope, decision: Decision, visitor_id: str | None) -> VisitHandle:
        """What the site finds in scope["visit"]."""
        return VisitHandle(self, scope, decision, visitor_id)

    def _row(
        self,
        scope: Scope,
        basis: str,
        revision: int,
        visitor_id: str | None,
        path: str,
        status: int,
        bytes_sent: int,
        duration: int,
    ) -> Captured:
        now = time.time_ns() // 1_000_000
        user_agent = referrer = language = host = b""
        hints: list[bytes] | None = None
        for name, value in scope.get("headers") or ():
            if name == b"user-agent":
                user_agent = value
            elif name == b"referer":
                referrer = value
            elif name == b"accept-language":
                language = value
            elif name == b"host":
                host = value
            elif name in _HINT_HEADERS:
                hints = hints or [b""] * 6
                hints[_HINT_HEADERS[name]] = value[:256]
        agent = user_agent[: visit.MAX_USER_AGENT].decode("latin-1")
        if basis == "counts":
            return Captured(
                site=self._site,
                time=now - now % visit.HOUR_MS,
                kind="count",
                name="pageview",
                path=path,
                status=status,
                automated=self._automated(agent),
                basis="counts",
                revision=revision,
            )
        client = self._clients.resolve(scope)
        visitor = 0
        if visitor_id and basis in ("consent", "opt-out"):
            visitor = visitor_key(visitor_id)
        elif basis not in ("consent",) and self._salts is not None:
            visitor = self._salts.key(self._clients.address(scope), agent, self._site)
        return Captured(
            site=self._site,
            time=now,
            kind="view",
            name="pageview",
            host=host[:255].decode("latin-1").lower(),
            path=path,
            query=self._query(scope.get("query_string") or b""),
            referrer=self._referrer(referrer[:2048]) if referrer else "",
            method=scope.get("method", ""),
            status=status,
            bytes=bytes_sent,
            duration_ms=duration,
            protocol=scope.get("http_version", ""),
            language=_language(language),
            country=client.country[:2],
            region=client.region,
            city=client.city,
            user_agent=agent,
            hints=b"\x1f".join(hints).decode("latin-1") if hints else "",
            visitor=visitor,
            basis=basis,
            revision=revision,
        )

    def _path_uncached(self, path: str) -> str | None:
        if any(fnmatchcase(path, pattern) for pattern in self._exclude):
            return None
        return visit.scrub_path(path.encode("utf-8", "replace").decode())

    def _query_uncached(self, query: bytes) -> str:
        return visit.scrub_query(query.decode("latin-1"), self._allowed)

    def _referrer_uncached(self, referrer: bytes) -> str:
        return visit.referrer_host(referrer.decode("latin-1"), self._own_hosts)


class VisitHandle:
    """scope["visit"]: lets the site report events of its own."""

    __slots__ = ("_capture", "_decision", "_scope", "_visitor_id")

    def __init__(self, capture: Capture, scope: Scope, decision: Decision, visitor_id: str | None) -> None:
        self._capture = capture
        self._scope = scope
        self._decision = decision
        self._visitor_id = visitor_id

    def event(self, name: str, /, **props: object) -> None:
        """Record an event with up to 30 properties; nothing happens when no basis allows it. Never raises."""
        self._capture.event(self._scope, self._decision, self._visitor_id, name, props)


def _length(key: tuple[object, ...]) -> int:
    """What the texts of a key take: headers are as long as whoever sent them likes."""
    return sum(len(part) for part in key if isinstance(part, str | bytes))


def clean_props(props: Mapping[str, object]) -> dict[str, str]:
    """At most 30 properties with short text values; values that identify somebody are left out."""
    kept: dict[str, str] = {}
    for name, value in props.items():
        if len(kept) == visit.MAX_PROPS:
            break
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str | int | float):
            continue
        text = str(value)[: 2 * visit.MAX_VALUE]
        if text and not visit.is_identifying(text):
            kept[str(name)[:100]] = text
    return kept


@lru_cache(1024)
def _language(header: bytes) -> str:
    """The first language of an Accept-Language header, base language and region at most: `en-GB`."""
    first = header.partition(b",")[0].partition(b";")[0].strip()[:16].decode("latin-1")
    base, _, region = first.partition("-")
    if not base.isalpha() or len(base) > 3:
        return ""
    return f"{base.lower()}-{region.upper()}" if len(region) == 2 and region.isalpha() else base.lower()
