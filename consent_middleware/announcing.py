"""A changed policy by e-mail to those whom the site's providers name (`addresses()`), each revision once to each.

The pages announce a revision by themselves; this is for people who do not come by. Whom a letter reached is kept as a
keyed hash, for the present revision only. A letter that may have gone twice has one Message-ID.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from consent_middleware import mail
from consent_middleware.ledger import Ledger
from consent_middleware.ledger.subject_keys import keyed_hash
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights import providers as hooks
from consent_middleware.suppression import normalised

FILE = Path("rights/announced.sqlite3")
SCHEMA = """
CREATE TABLE IF NOT EXISTS announced (
    revision INTEGER NOT NULL, address BLOB NOT NULL, PRIMARY KEY (revision, address)
) STRICT
"""


class Announced(msgspec.Struct, frozen=True):
    """How many letters went now, had gone before, and were not taken (they are tried again by the next run)."""

    sent: int
    before: int
    failed: tuple[str, ...]


def letter_text(policy: PrivacyPolicy, site: str) -> tuple[str, str]:
    """Subject and text: what changed, from when, and where the difference can be read."""
    first = policy.site.languages[0]
    line = next((line for line in policy.history if line.revision == policy.revision), None)
    did = "has changed on" if policy.revision > 1 else "applies from"
    page = f"{site.rstrip('/')}{policy.site.prefix}/policy"
    lines = [
        f"The privacy policy of {policy.controller.name} {did} {policy.updated} (revision {policy.revision}).",
        *([policy.text(line.summary, first)] if line and line.summary else []),
        "",
        f"The policy: {page}",
        f"What changed: {page}/changes",
        f"Your choices: {site.rstrip('/')}{policy.site.prefix}/",
        *(["", f"Questions: {policy.controller.contact}"] if policy.controller.contact else []),
    ]
    return f"{policy.controller.name}: privacy policy of {policy.updated}", "\n".join(lines) + "\n"


def addresses() -> list[str]:
    """Everybody whom a provider names, once. Raises ProviderError."""
    found = [str(one) for name in hooks.providers() for one in hooks.call(name, "addresses") or ()]
    return list(dict.fromkeys(found))


def announce(
    policy: PrivacyPolicy, data_dir: Path, ledger: Ledger, site: str, environment: Mapping[str, str] = os.environ
) -> Announced:
    """Send what is owed. Raises MailError when no server can be reached, ProviderError."""
    sender = environment.get("SMTP_FROM") or policy.controller.contact
    subject, text = letter_text(policy, site)
    sent = before = 0
    failed = []
    with _told(data_dir) as told:
        told.execute("DELETE FROM announced WHERE revision < ?", (policy.revision,))
        owed = []
        for address in addresses():
            try:
                digest = keyed_hash(ledger.index_key(), "announced", normalised(address))
            except ValueError as error:
                failed.append(str(error))
                continue
            known = told.execute(
                "SELECT 1 FROM announced WHERE revision = ? AND address = ?", (policy.revision, digest)
            )
            if known.fetchone():
                before += 1
            else:
                owed.append((address, digest))
        if not owed:
            return Announced(0, before, tuple(failed))
        with mail.server(environment) as server:
            for address, digest in owed:
                key = f"policy-{policy.revision}-{digest.hex()[:24]}"
                try:
                    server.send_message(mail.letter(address, subject, text, sender=sender, key=key))
                except mail.refusals() as error:
                    failed.append(f"{address}: {error}")
                    continue
                told.execute("INSERT INTO announced VALUES (?, ?)", (policy.revision, digest))
                sent += 1
    return Announced(sent, before, tuple(failed))


@contextlib.contextmanager
def _told(data_dir: Path) -> Iterator[sqlite3.Connection]:
    path = Path(data_dir) / FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA secure_delete = ON")
        database.execute(SCHEMA)
        yield database
    finally:
        database.close()
