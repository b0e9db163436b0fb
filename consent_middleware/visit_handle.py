"""What the site finds in `scope["visit"]`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from consent_middleware.capture import Capture
    from consent_middleware.decision import Decision

Scope = MutableMapping[str, Any]


class VisitHandle(msgspec.Struct):
    """scope["visit"]: lets the site report events of its own."""

    _capture: Capture
    _scope: Scope
    _found: list[bytes]
    _decision: Decision
    _visitor_id: str | None

    def event(self, name: str, /, **props: object) -> None:
        """Record an event with up to 30 properties; nothing happens when no basis allows it. Never raises."""
        self._capture.event(self._scope, self._decision, self._visitor_id, name, props, self._found)
