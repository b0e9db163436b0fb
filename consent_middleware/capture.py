"""What a request leaves behind: page views and events on their way into the spool, under the basis that allows them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consent_middleware import visit
from consent_middleware.decision import Decision
from consent_middleware.events_api import ScriptEvent
from consent_middleware.rows import Rows
from consent_middleware.visit import visitor_key as visitor_key  # the name that callers know

if TYPE_CHECKING:
    from consent_middleware.country import ClientResolver
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.reading import Reading
    from consent_middleware.salts import Salts
    from consent_middleware.spool import Spool

Scope = MutableMapping[str, Any]
log = logging.getLogger(__name__)
VIEW_SECONDS: Final = 30.0
REMEMBERED_VIEWS: Final = 4096
_encode = msgspec.json.Encoder().encode

# Asked for with Accept-CH, after consent only.
CLIENT_HINTS = b"Sec-CH-UA-Full-Version-List, Sec-CH-UA-Platform-Version, Sec-CH-UA-Model"


class Capture:
    """Page views and events of one worker. No method raises or waits, except `event_durable`, which does both."""

    def __init__(
        self, policy: PrivacyPolicy, spool: Spool, clients: ClientResolver, salts: Salts | None = None
    ) -> None:
        self.policy = policy
        self.spool = spool
        self.failures = 0
        self.rows = Rows(policy, clients, salts)
        self._plausible = policy.capture.plausible
        self._views: dict[tuple[int, str], float] = {}

    def page_view(self, scope: dict[str, Any], reading: Reading, status: int, sent: int) -> None:
        """Record one answered request; `sent` counts bytes of the body. Never raises, never waits."""
        verdict = reading.verdict
        basis = verdict.basis
        if basis is None or scope.get("method") == "HEAD":
            return
        try:
            line = self.rows.view(scope, reading.found, basis, verdict.ending, status, sent, reading.at)
            if line is None:
                return
            self.spool.append_line(line)
            if self._plausible and basis != "counts":
                visitor = self.rows.visitor(scope, reading.found, basis, verdict.visitor_id)
                self._remember_view(visitor, self.rows.path(scope["path"]))
        except Exception:  # a page is served whatever happens here; the counter and the log say that something did
            self.failures += 1
            log.exception("a page view could not be captured")

    def event(
        self,
        scope: Scope,
        decision: Decision,
        visitor_id: str | None,
        name: str,
        props: Mapping[str, object] | None = None,
        found: list[bytes] | None = None,
    ) -> None:
        """Record something that the site itself reports. Never raises, never waits."""
        try:
            row = self.event_row(scope, decision, visitor_id, name, props, found)
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
        found: list[bytes] | None = None,
        **more: Any,
    ) -> bytes | None:
        """One encoded event, or None when no basis allows one. `more` are fields of Captured the caller checked."""
        basis = visit.basis_of(self.policy, decision)
        if basis is None or basis == "counts" or not self.policy.capture.interactions:
            return None
        path = self.rows.path(more.pop("path", None) or scope.get("path", "/"))
        if path is None:
            return None
        row = self.rows.row(scope, found, basis, visitor_id, path, time.time_ns() // 1_000_000)
        kept = clean_props(props or {})
        changes = {"kind": "event", "name": name[:120], "method": "", "props": kept, **more}
        return _encode(msgspec.structs.replace(row, **changes))

    def script_event_row(
        self, scope: Scope, decision: Decision, visitor_id: str | None, event: ScriptEvent
    ) -> bytes | None:
        """One encoded event of a script; None when no basis allows it, empty when the page view is known already."""
        basis = visit.basis_of(self.policy, decision)
        path = self.rows.path(event.path)
        if basis is None or basis == "counts" or path is None or not self.policy.capture.interactions:
            return None
        view = event.name == "pageview"
        row = self.rows.row(scope, None, basis, visitor_id, path, time.time_ns() // 1_000_000)
        if view and self._just_viewed(row.visitor, path):
            return b""
        return _encode(
            msgspec.structs.replace(
                row,
                kind="view" if view else "event",
                name=event.name,
                host=event.host or row.host,
                query=visit.scrub_query(event.query, self.rows.allowed),
                referrer=visit.referrer_host(event.referrer, self.rows.own_hosts),
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

    def _remember_view(self, visitor: int, path: str | None) -> None:
        if not visitor or path is None:
            return
        if len(self._views) >= REMEMBERED_VIEWS:
            self._views.clear()
        self._views[visitor, path] = time.monotonic()


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
