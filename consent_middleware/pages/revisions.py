"""The history of the policy: which revisions there were, what changed between them, and whether that is still news."""

from __future__ import annotations

import datetime as dt
import difflib
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

# For so many days after its date a new revision is announced on every page.
NEWS_DAYS = 30


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def is_news(policy: PrivacyPolicy) -> bool:
    """Whether a changed policy is still announced beside the control; the first revision changes nothing."""
    return policy.revision > 1 and 0 <= (today() - policy.updated).days < NEWS_DAYS


class Change(Struct, frozen=True):
    """One line of a difference: `kind` is "added", "removed" or "same"."""

    kind: str
    text: str


class Kept(Struct, frozen=True):
    """One kept revision of the policy."""

    revision: int
    date: dt.date
    summary: str
    digest: str  # of the kept text; empty when only the history names this revision
    changes: tuple[Change, ...]


async def revisions_of(services: Services, language: str) -> list[Kept]:
    """The revisions that the policy's history names, newest first."""
    policy = services.policy
    first = policy.site.languages[0]
    return [
        Kept(line.revision, line.date, policy.text(line.summary, language, first), "", ())
        for line in sorted(policy.history, key=lambda line: -line.revision)
    ]


def difference(old: str, new: str) -> tuple[Change, ...]:
    """What changed from one text to the next, by lines, with two lines around each change."""
    changes = []
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), n=2, lineterm=""):
        if line.startswith(("---", "+++", "@@")):
            continue
        kind = {"+": "added", "-": "removed"}.get(line[:1], "same")
        changes.append(Change(kind, line[1:]))
    return tuple(changes)
