"""Inventory: what a site did that its policy does not say - undeclared cookies, storage keys, blocked hosts.

Names and counts only, nothing about who. Counting never blocks a request: the numbers live in memory and a timer
writes them to `inventory/<worker>.json` in the data folder; `consent check --live` reads all workers' files.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from consent_middleware.loading import host_of
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.vendors import VendorIndex, normal_host

if TYPE_CHECKING:
    from consent_middleware.services import Services

log = logging.getLogger("consent_middleware")

COOKIE, STORAGE, HOST, NOTE = "cookie", "storage", "host", "note"
MAX_NAMES = 500  # of one kind and worker; what comes later is counted under OTHER
OTHER = "(other)"
MAX_NAME = 128
MAX_REPORT_BYTES = 65_536
MAX_TOLD = 20  # names in the log of one worker; the inventory holds all
WRITE_EVERY_S = 5.0
EPOCH = dt.date(1970, 1, 1).toordinal()
KEEP_DAYS = 90
REPORTER = "storage-report.js"
# Names only; a value never leaves the browser.
_REPORTER_SCRIPT = """\
(() => {
  const url = new URL("csp-report", document.currentScript.src);
  const keys = (read) => { try { return Object.keys(read()); } catch { return []; } };
  addEventListener("load", () => setTimeout(() => {
    const storage = { local: keys(() => localStorage), session: keys(() => sessionStorage) };
    if (storage.local.length + storage.session.length) navigator.sendBeacon(url, JSON.stringify({ storage }));
  }, 3000));
})();
"""
_NONCE = re.compile(r"[A-Za-z0-9+/_=-]{1,256}")
_IDENTIFIER = re.compile(r"[0-9A-Fa-f]{8,}|\d{4,}")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class Seen(msgspec.Struct, frozen=True, order=True):
    """One thing that was seen: `kind` (cookie, storage, host, note), `name`, `where` (host, area, directive).

    `count` is a lower bound: what a worker remembers (a Cookie header, a rewritten page) is not counted again.
    """

    kind: str
    name: str
    where: str
    count: int
    first: str  # days, ISO
    last: str


class Inventory:
    """Counters of one worker. Made after the fork; every method returns at once and never raises."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = Path(data_dir) / "inventory"
        self._file = self._folder / f"{os.getpid()}-{time.time_ns()}.json"
        self._counts: dict[tuple[str, str, str], list[Any]] = {}
        self._names: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        # (cookie, host, times) that the gate counted by itself, asked for before each writing.
        self.waiting: Callable[[], Iterable[tuple[str, str, int]]] = tuple

    def undeclared_cookie(self, name: str, host: str = "", times: int = 1) -> None:
        """A cookie that the policy does not declare was dropped."""
        self._count(COOKIE, name, normal_host(host), times)

    def storage_key(self, name: str, area: str = "local") -> None:
        """A page found a key of local or session storage that the policy does not declare."""
        self._count(STORAGE, name, area)

    def blocked_host(self, host: str, directive: str = "") -> None:
        """A third party that the policy does not declare was held back, or would have been."""
        if not directive:  # it stands in a page of the site; with one a browser says so, and anybody can be a browser
            self._tell("a page loads from", clean(host), "[[vendor]]")
        self._count(HOST, host, directive)

    def site_cookie(self, name: str) -> None:
        """Whoever develops the site wonders where its cookie is: the log says so, once."""
        self._tell("the site sets the cookie", clean(name), "[[cookie]]")

    def _tell(self, what: str, name: str, table: str) -> None:
        if (what, name) not in self._told and len(self._told) < MAX_TOLD:
            self._told.add((what, name))
            log.warning(
                "%s %s, which the privacy policy does not declare (%s); consent check --live lists all of these",
                *(what, name, table),
            )

    def note(self, what: str, where: str = "") -> None:
        """Something an operator should know, from a closed list: a compressed page, a broken cookie rule."""
        self._count(NOTE, what, where)

    def _count(self, kind: str, name: str, where: str, times: int = 1) -> None:
        key = (kind, name if kind == NOTE else clean(name), clean(where))
        today = _iso_day(int(time.time() // 86_400))
        with self._lock:
            entry = self._counts.get(key)
            if entry is None:
                if self._names.get(kind, 0) >= MAX_NAMES:
                    key = (kind, OTHER, "")
                else:
                    self._names[kind] = self._names.get(kind, 0) + 1
                entry = self._counts.setdefault(key, [0, today, today])
            entry[0] += times
            entry[2] = today
            if self._timer is None:
                self._timer = threading.Timer(WRITE_EVERY_S, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def seen(self) -> list[Seen]:
        """What this worker counted."""
        with self._lock:
            return [Seen(*key, *entry) for key, entry in self._counts.items()]

    def flush(self) -> None:
        """Write the counters, atomically. A full or read-only disk loses them, nothing else."""
        with self._lock:
            self._timer = None
        for name, host, times in self.waiting():
            self.undeclared_cookie(name, host, times)
        temporary = self._file.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(self.seen()))
            temporary.replace(self._file)

    def close(self) -> None:
        """Write what is left and stop the timer."""
        with self._lock:
            timer = self._timer
        if timer is None:
            return
        timer.cancel()
        self.flush()
        with self._lock:  # what waited has set it again
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def read_inventory(data_dir: Path) -> list[Seen]:
    """What all workers counted, most frequent first. Files of workers that ended long ago are removed."""
    merged: dict[tuple[str, str, str], Seen] = {}
    for file in sorted((Path(data_dir) / "inventory").glob("*.json")):
        try:
            if time.time() - file.stat().st_mtime > KEEP_DAYS * 86_400:
                file.unlink()
                continue
            entries = msgspec.json.decode(file.read_bytes(), type=list[Seen])
        except (OSError, msgspec.MsgspecError):
            continue
        for entry in entries:
            key = (entry.kind, entry.name, entry.where)
            known = merged.get(key)
            merged[key] = (
                entry
                if known is None
                else Seen(*key, known.count + entry.count, min(known.first, entry.first), max(known.last, entry.last))
            )
    return sorted(merged.values(), key=lambda seen: (seen.kind, -seen.count, seen.name))


def clean(name: str) -> str:
    """A name fit to be kept: printable, short, and without the digits that may identify somebody (`_hj_*`)."""
    return _clean(name[: MAX_NAME * 2])


@functools.lru_cache(2048)
def _clean(name: str) -> str:
    return _IDENTIFIER.sub("*", _UNPRINTABLE.sub("?", name))[:MAX_NAME]


@functools.lru_cache(2)
def _iso_day(day: int) -> str:
    return dt.date.fromordinal(EPOCH + day).isoformat()


def routes(services: Services) -> list[BaseRoute]:
    """`POST <prefix>/csp-report`: what browsers blocked, and the storage keys that the page's script found."""
    policy, inventory = services.policy, services.inventory

    async def csp_report(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_REPORT_BYTES:
                return Response(status_code=413)
        try:
            report = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Response(status_code=400)
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return Response(status_code=403)
        own_host = request.headers.get("host", "")
        for host, directive in blocked_hosts(report):
            if not VendorIndex.of(policy).is_own(host, own_host):
                inventory.blocked_host(host, directive)
        for area, name in storage_keys(report, policy):
            inventory.storage_key(name, area)
        return Response(status_code=204)

    async def reporter(request: Request) -> Response:
        headers = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff"}
        return Response(_REPORTER_SCRIPT, media_type="text/javascript", headers=headers)

    prefix = policy.site.prefix
    found: list[BaseRoute] = [Route(f"{prefix}/csp-report", csp_report, methods=["POST"])]
    if policy.site.report_storage:
        found.append(Route(f"{prefix}/{REPORTER}", reporter, methods=["GET"]))
    return found


def storage_reporter(policy: PrivacyPolicy, nonce: str | None = None) -> bytes:
    """The tag of the script that reports storage keys; empty unless the policy asks for it."""
    if not policy.site.report_storage:
        return b""
    mark = f' nonce="{nonce}"' if nonce and _NONCE.fullmatch(nonce) else ""
    return f'<script defer src="{policy.site.prefix}/{REPORTER}"{mark}></script>'.encode()


def blocked_hosts(report: object) -> Iterable[tuple[str, str]]:
    """(host, directive) of a report in either format: `report-uri`'s object or the Reporting API's list."""
    for entry in report if isinstance(report, list) else [report]:
        if not isinstance(entry, dict):
            continue
        body = entry.get("csp-report", entry.get("body"))
        if not isinstance(body, dict):
            continue
        url = body.get("blocked-uri", body.get("blockedURL"))
        directive = body.get("effective-directive", body.get("effectiveDirective", body.get("violated-directive", "")))
        host = host_of(url) if isinstance(url, str) else ""
        if host:
            yield host, str(directive).partition(" ")[0]


def storage_keys(report: object, policy: PrivacyPolicy) -> Iterable[tuple[str, str]]:
    """(area, key) of `{"storage": {"local": [...], "session": [...]}}`, less what the policy declares."""
    storage = report.get("storage") if isinstance(report, dict) else None
    if not isinstance(storage, dict):
        return
    for area in ("local", "session"):
        names = storage.get(area)
        for name in names[:MAX_NAMES] if isinstance(names, list) else ():
            if isinstance(name, str) and name and not is_declared(policy, name, area):
                yield area, name


def is_declared(policy: PrivacyPolicy, name: str, kind: str) -> bool:
    """Whether the policy declares a cookie ("http") or storage key ("local", "session") of this name."""
    return any(cookie.kind == kind and matches(cookie.name, name) for cookie in policy.cookies)


def matches(pattern: str, name: str) -> bool:
    """Exact, or `*` for any run of characters."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    last = rest.pop()
    end = len(name) - len(last)
    at = len(first)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in rest:  # each at its first place: what is left for the others is then longest
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
