"""The history of the policy: which revisions there were, what changed between them, and whether that is still news."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from consent_middleware.ledger import LedgerUnavailable
from consent_middleware.pages.document import markdown
from consent_middleware.pages.memory import remembered
from consent_middleware.pages.policy_document import policy_document

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

# For so many days after its date a new revision is announced on every page.
NEWS_DAYS = 30
CELL: Final = re.compile(r"(?<!\\) \| ")
MARKS: Final = re.compile(r"(?<!\\)(\*\*|`)")
LINK: Final = re.compile(r"(?<!\\)\[(.*?)\]\([^)]*\)")
ESCAPED: Final = re.compile(r"\\([\\`*_\[\]<>#|])")


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
    date: dt.date | None
    summary: str
    digests: tuple[str, ...]  # of the kept texts, more than one when words were corrected; () for one before our time
    changes: tuple[Change, ...]  # from the revision before it


def kept_under(language: str) -> str:
    """The language tag of the policy's own texts among the ledger's notices (RFC 5646, private use)."""
    return f"{language}-x-policy"


def policy_text(policy: PrivacyPolicy, language: str) -> bytes:
    """The policy as it is kept: Markdown, the same bytes from every worker."""
    return markdown(remembered(policy, ("policy", language), lambda: policy_document(policy, language))).encode()


async def keep(services: Services) -> None:
    """Put the policy's texts into the ledger, once a worker; without a ledger the pages still show the present one."""
    policy = services.policy
    kept: set[str] = policy.__dict__.setdefault("_kept", set())
    folder = str(services.data_dir)
    if folder in kept:
        return
    try:
        for language in policy.site.languages:
            await services.ledger.store_notice(policy_text(policy, language), kept_under(language), policy.revision)
    except LedgerUnavailable:
        return
    kept.add(folder)


async def revisions_of(services: Services, language: str) -> list[Kept]:
    """Every revision that the policy's history names or the ledger keeps, newest first."""
    policy = services.policy
    await keep(services)
    try:
        found = await services.ledger.texts_in(kept_under(language))
    except LedgerUnavailable:
        found = []
    texts: dict[int, dict[str, str]] = {}
    for digest, revision, kept in found:
        texts.setdefault(revision, {})[digest] = kept.decode()
    if policy.revision in texts:
        texts[policy.revision][""] = policy_text(policy, language).decode()
    named = {line.revision: line for line in policy.history}
    first = policy.site.languages[0]
    revisions = []
    before = ""
    for revision in sorted({*named, *texts, policy.revision}):
        line = named.get(revision)
        # Of several texts of one revision the present one counts; of older ones any may have been the last.
        text = list(texts.get(revision, {"": ""}).values())[-1]
        revisions.append(
            Kept(
                revision,
                line.date if line else policy.updated if revision == policy.revision else None,
                policy.text(line.summary, language, first) if line else "",
                tuple(digest for digest in texts.get(revision, ()) if digest),
                difference(before, text) if before and text else (),
            )
        )
        before = text or before
    return revisions[::-1]


def difference(old: str, new: str) -> tuple[Change, ...]:
    """What changed from one text to the next, in lines for a reader, with two lines around each change."""
    changes = []
    for line in difflib.unified_diff(_readable(old), _readable(new), n=2, lineterm=""):
        if line.startswith(("---", "+++", "@@")):
            continue
        kind = {"+": "added", "-": "removed"}.get(line[:1], "same")
        changes.append(Change(kind, line[1:]))
    return tuple(changes)


def _readable(text: str) -> list[str]:
    """The lines of a kept text without the marks of Markdown."""
    lines = []
    for line in text.splitlines():
        cells = CELL.split(line.strip().removeprefix("| ").removesuffix(" |")) if line.startswith("|") else [line]
        words = " · ".join(cell for cell in cells if cell)
        plain = LINK.sub(r"\1", MARKS.sub("", re.sub(r"^(#+|-) ", "", words).strip()))
        if plain and set(plain) - set("-· "):
            lines.append(ESCAPED.sub(r"\1", plain))
    return lines
