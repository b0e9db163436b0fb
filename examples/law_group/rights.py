"""The group's own tables for `consent rights`: members, enquiries and newsletter, found by e-mail address.

consent rights open --right access --subject amara@okell-finch.example --hooks examples.law_group.rights
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from consent_middleware import rights
from examples.law_group.records import SiteRecords

records = SiteRecords(Path(os.environ.get("CONSENT_DATA_DIR", "var")) / "site" / "records.sqlite3")


class _Table:
    """One table of ours, by address."""

    table: str

    def find(self, subject: str) -> list[dict[str, Any]]:
        return records.rows_about(self.table, subject)

    def erase(self, subject: str) -> int:
        return records.erase_about(self.table, subject)


@rights.provider("members")
class Members(_Table):
    table = "members"

    def correct(self, subject: str, field: str, value: str) -> int:
        return records.correct(self.table, subject, field, value)

    def stop_marketing(self, subject: str) -> int:
        return records.stop_marketing(subject)


@rights.provider("enquiries")
class Enquiries(_Table):
    table = "enquiries"

    def correct(self, subject: str, field: str, value: str) -> int:
        return records.correct(self.table, subject, field, value)


@rights.provider("newsletter")
class Newsletter(_Table):
    table = "newsletter"
