"""The group's own tables for `consent rights`: members, enquiries and newsletter, found by e-mail address.

`hooks = "examples.law_group.rights"` in [site] of privacy.toml names this module.
"""

from __future__ import annotations

import datetime as dt
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

    def restrict(self, subject: str, on: bool) -> int:
        return records.restrict(self.table, subject, on)


@rights.provider("members")
class Members(_Table):
    table = "members"

    def subjects(self, subject: str) -> list[str]:
        number = records.member_number(subject)
        return [] if number is None else [f"member:{number}"]

    def addresses(self) -> list[str]:
        return records.member_addresses()

    def correct(self, subject: str, field: str, value: str) -> int:
        return records.correct(self.table, subject, field, value)

    def stop_marketing(self, subject: str) -> int:
        return records.stop_marketing(subject)


@rights.provider("enquiries")
class Enquiries(_Table):
    table = "enquiries"

    def affected(self, first: dt.datetime, last: dt.datetime) -> list[str]:
        return records.enquirers(first.timestamp(), last.timestamp())

    def oldest(self) -> dt.date | None:
        oldest = records.oldest_enquiry()
        return None if oldest is None else dt.datetime.fromtimestamp(oldest, dt.UTC).date()

    def expire(self, before: dt.date) -> int:
        return records.expire_enquiries(dt.datetime.combine(before, dt.time(), dt.UTC).timestamp())

    def correct(self, subject: str, field: str, value: str) -> int:
        return records.correct(self.table, subject, field, value)


@rights.provider("newsletter")
class Newsletter(_Table):
    table = "newsletter"

    def subjects(self, subject: str) -> list[str]:
        return [f"email:{subject}"]

    def stop_marketing(self, subject: str) -> int:
        return records.erase_about(self.table, subject)
