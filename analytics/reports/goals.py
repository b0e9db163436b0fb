"""Goals: what an owner wants visitors to reach - a named event, or a page (with `*` and `**`), perhaps worth money."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Either `event` or `page` is set; `currency` makes it a revenue goal."""

    name: Annotated[str, Meta(min_length=1, max_length=120)]
    event: Annotated[str, Meta(max_length=120)] = ""
    page: Annotated[str, Meta(max_length=2000)] = ""
    currency: Annotated[str, Meta(pattern="^([A-Z]{3})?$")] = ""

    def __post_init__(self) -> None:
        if bool(self.event) == bool(self.page):
            raise ValueError("a goal is either an event or a page")

    @property
    def page_pattern(self) -> str:
        """RE2: `*` is anything but a slash, `**` anything."""
        parts = re.split(r"(\*\*|\*)", self.page)
        inner = "".join({"**": ".*", "*": "[^/]*"}.get(part) or re.escape(part) for part in parts)
        return f"^{inner}$"
