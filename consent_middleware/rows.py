"""A request as a row of the spool: whole, for events, or put together from parts that many page views share."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware import visit
from consent_middleware.bounded import BoundedCache
from consent_middleware.request_headers import (
    ACCEPT_LANGUAGE,
    BROWSER,
    HINTS,
    HOST,
    REFERER,
    USER_AGENT,
    find_headers,
)
from consent_middleware.visit import Captured

if TYPE_CHECKING:
    from consent_middleware.country import ClientResolver
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.salts import Salts

Scope = MutableMapping[str, Any]
MAX_HINT: Final = 256

_encode = msgspec.json.Encoder().encode
# Where the parts of an encoded row begin: a page, an answer, a browser, a visitor.
_KIND, _STATUS, _PROTOCOL, _VISITOR = (
    Captured.__struct_fields__.index(name) for name in ("kind", "status", "protocol", "visitor")
)


def fields_of(row: Captured) -> list[bytes]:
    """The encoded fields of a row, in their order."""
    return [bytes(field) for field in msgspec.json.decode(_encode(row), type=list[msgspec.Raw])]


@lru_cache(256)
def _after_visitor(basis: str, revision: int) -> bytes:
    row = Captured(site="", time=0, kind="view", name="", basis=basis, revision=revision)
    return b",".join(fields_of(row)[_VISITOR + 1 :])


def fixed_ending(basis: str | None, visitor_id: str | None, revision: int) -> bytes:
    """The end of each page view of one visitor, or empty where the visitor's key changes each day."""
    if basis is None:
        return b""
    if visitor_id is not None and basis in visit.WITH_VISITOR:
        return _ending(visit.visitor_key(visitor_id), basis, revision)
    return _ending(0, basis, revision) if basis in ("consent", "counts") else b""


def _ending(visitor: int, basis: str, revision: int) -> bytes:
    return b"%d,%b]\n" % (visitor, _after_visitor(basis, revision))


class Rows:
    """Makes rows of requests under one policy. Everything is scrubbed here; what is remembered is bounded."""

    def __init__(self, policy: PrivacyPolicy, clients: ClientResolver, salts: Salts | None) -> None:
        self.policy = policy
        self.own_hosts = frozenset(host.partition(":")[0].removeprefix("www.") for host in policy.site.hosts)
        self.allowed = frozenset(policy.capture.query_parameters)
        self._clients = clients
        self._salts = salts
        self._direct = not policy.site.trusted_proxies  # no header can change where a request comes from
        self._site = policy.site.site_id
        self._opening = b"[" + _encode(self._site) + b","
        self._exclude = policy.capture.exclude
        self._pages: BoundedCache[tuple[object, ...], bytes] = BoundedCache(entries=2048, size=2_000_000)
        self._browsers: BoundedCache[tuple[object, ...], bytes] = BoundedCache(entries=4096, size=6_000_000)
        self._automated = lru_cache(4096)(visit.looks_automated)
        self._count_browsers = {
            automated: b",".join(fields_of(self._count("", automated))[_PROTOCOL:_VISITOR]) for automated in (0, 1)
        }

    def view(
        self, scope: dict[str, Any], found: list[bytes], basis: str, end: bytes, status: int, sent: int, started: float
    ) -> bytes | None:
        """A page view as a line, or None for a page that is left out.

        `end` is what `fixed_ending` made; `started` is the unix time at which the request came.
        """
        now = time.time()
        if basis == "counts":
            return self._count_line(scope, found, end, status, int(now * 1000))
        of_page = (scope["path"], scope.get("query_string"), found[HOST], found[REFERER], scope.get("method"))
        page = self._pages[of_page]
        if page is None:
            page = self._page(scope, found, of_page)
        if not page:
            return None
        peer = scope.get("client")
        origin = peer[0] if self._direct and type(peer) is tuple else self._clients.origin(scope)
        # One run of bytes is compared faster than many. No header holds a newline.
        of_browser = (b"\n".join(found[BROWSER]), scope.get("http_version"), origin)
        browser = self._browsers[of_browser] or self._browser(scope, found, of_browser)
        return b"%b%d,%b%d,%d,%d,%b%b" % (
            self._opening,
            int(now * 1000),
            page,
            status,
            sent,
            int((now - started) * 1000) if now > started else 0,
            browser,
            end or _ending(self.visitor(scope, found, basis, None), basis, self.policy.revision),
        )

    def row(
        self, scope: Scope, found: list[bytes] | None, basis: str, visitor_id: str | None, path: str, ms: int
    ) -> Captured:
        """The whole row of a request on a page of the site, with the fields that its basis allows."""
        found = find_headers(scope.get("headers") or ()) if found is None else found
        if basis == "counts":
            return msgspec.structs.replace(
                self._count(path, self._automated(_agent(found))),
                time=ms - ms % visit.HOUR_MS,
                revision=self.policy.revision,
            )
        client = self._clients.resolve(scope)
        referrer = found[REFERER][:2048]
        hints = found[HINTS]
        return Captured(
            site=self._site,
            time=ms,
            kind="view",
            name="pageview",
            host=found[HOST][:255].decode("latin-1").lower(),
            path=path,
            query=self._scrubbed_query(scope.get("query_string") or b""),
            referrer=self._referrer_host(referrer) if referrer else "",
            method=scope.get("method", ""),
            protocol=scope.get("http_version", ""),
            language=_language(found[ACCEPT_LANGUAGE]),
            country=client.country[:2],
            region=client.region,
            city=client.city,
            user_agent=_agent(found),
            hints=b"\x1f".join(hint[:MAX_HINT] for hint in hints).decode("latin-1") if any(hints) else "",
            visitor=self.visitor(scope, found, basis, visitor_id),
            basis=basis,
            revision=self.policy.revision,
        )

    def path(self, path: str) -> str | None:
        """A path as it is captured; None for one that the policy leaves out."""
        if any(fnmatchcase(path, pattern) for pattern in self._exclude):
            return None
        return visit.scrub_path(path.encode("utf-8", "replace").decode())

    def visitor(self, scope: Scope, found: list[bytes], basis: str, visitor_id: str | None) -> int:
        """The key of the visitor cookie, or the key of the day where the basis allows that; 0 for none."""
        if visitor_id and basis in visit.WITH_VISITOR:
            return visit.visitor_key(visitor_id)
        if basis in ("consent", "counts") or self._salts is None:
            return 0
        return self._salts.key(self._clients.address(scope), _agent(found), self._site)

    def _page(self, scope: Scope, found: list[bytes], key: tuple[object, ...]) -> bytes:
        path = self.path(scope["path"])
        page = b""
        if path is not None:
            fields = fields_of(self.row(scope, found, "consent", None, path, 0))
            page = b",".join(fields[_KIND:_STATUS]) + b","
        self._pages.put(key, page, len(page) + _length(key) + 400)
        return page

    def _browser(self, scope: Scope, found: list[bytes], key: tuple[object, ...]) -> bytes:
        fields = fields_of(self.row(scope, found, "consent", None, "/", 0))
        browser = b",".join(fields[_PROTOCOL:_VISITOR]) + b","
        self._browsers.put(key, browser, len(browser) + _length(key) + 800)
        return browser

    def _count(self, path: str, automated: int) -> Captured:
        return Captured(
            site=self._site, time=0, kind="count", name="pageview", path=path, automated=automated, basis="counts"
        )

    def _count_line(self, scope: Scope, found: list[bytes], end: bytes, status: int, ms: int) -> bytes | None:
        """A line that says the page, the status, the hour, and whether it was a bot: nothing else is looked at."""
        key = (scope["path"],)
        page = self._pages[key]
        if page is None:
            path = self.path(scope["path"])
            page = b"" if path is None else b",".join(fields_of(self._count(path, 0))[_KIND:_STATUS])
            self._pages.put(key, page, len(page) + _length(key) + 400)
        if not page:
            return None
        browser = self._count_browsers[self._automated(_agent(found))]
        return b"%b%d,%b,%d,0,0,%b,%b" % (self._opening, ms - ms % visit.HOUR_MS, page, status, browser, end)

    def _scrubbed_query(self, query: bytes) -> str:
        return visit.scrub_query(query.decode("latin-1"), self.allowed)

    def _referrer_host(self, referrer: bytes) -> str:
        return visit.referrer_host(referrer.decode("latin-1"), self.own_hosts)


def _agent(found: list[bytes]) -> str:
    return found[USER_AGENT][: visit.MAX_USER_AGENT].decode("latin-1")


def _length(key: tuple[object, ...]) -> int:
    """What the texts of a key take: headers are as long as whoever sent them likes."""
    return sum(len(part) for part in key if isinstance(part, str | bytes))


@lru_cache(1024)
def _language(header: bytes) -> str:
    """The first language of an Accept-Language header, base language and region at most: `en-GB`."""
    first = header.partition(b",")[0].partition(b";")[0].strip()[:16].decode("latin-1")
    base, _, region = first.partition("-")
    if not base.isalpha() or len(base) > 3:
        return ""
    return f"{base.lower()}-{region.upper()}" if len(region) == 2 and region.isalpha() else base.lower()
