"""A personal data breach (GDPR Art. 33, 34): who may be affected by what happened when, and by when to tell.

Counts come from every store that the product keeps; which people they are only where a store leads to somebody at all.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import msgspec

from analytics.ingest.segments import segments
from analytics.store import Store
from consent_middleware.ledger import Ledger
from consent_middleware.ledger import chain as chains
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.record import decode_record
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights import providers as hooks
from consent_middleware.rights.register import FORGOTTEN, Register

HOURS: Final = 72
READ_AT_ONCE: Final = 2_000
EMAIL: Final = "email:"


class Affected(msgspec.Struct, frozen=True):
    """What one store held in the window. `people` where it leads to them; None where it can't.

    `addresses`: whom of them to write to. `references`: others by name, of whom no address is known. Those who are in
    neither are known to nobody: they, too, can be told by a public notice only.
    """

    store: str
    rows: int
    people: int | None
    what: str
    addresses: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def unreached(self) -> bool:
        """Whether somebody of this store may be left whom no letter reaches."""
        return self.people is None or self.people > len(self.addresses)


class Report(msgspec.Struct, frozen=True):
    """`tell_by`: the end of the 72 hours after `noticed` for the supervisory authority."""

    first: dt.datetime
    last: dt.datetime
    noticed: dt.datetime
    tell_by: dt.datetime
    authority: str
    affected: list[Affected]
    not_asked: list[str]


def report(
    store: Store,
    data_dir: Path,
    policy: PrivacyPolicy,
    ledger: Ledger | None,
    first: dt.datetime,
    last: dt.datetime,
    noticed: dt.datetime,
) -> Report:
    """What was captured, decided or asked between `first` and `last`. Raises what the stores raise."""
    affected = [_visits(store, first, last), _waiting(data_dir), _requests(data_dir, first, last)]
    if ledger is not None:
        affected.append(_consents(ledger, first, last))
    asked = []
    for name in hooks.providers():
        found = hooks.call(name, "affected", first, last)
        if found is None:
            asked.append(name)
            continue
        people = sorted({str(subject) for subject in found})
        affected.append(_named(name, len(list(found)), len(people), "the site's own table", people))
    return Report(
        first, last, noticed, noticed + dt.timedelta(hours=HOURS), policy.controller.supervisory_authority,
        [part for part in affected if part.rows], asked,
    )  # fmt: skip


def _visits(store: Store, first: dt.datetime, last: dt.datetime) -> Affected:
    rows, people = store.query(
        "SELECT count(), uniqExactIf(visitor, visitor != 0) FROM events "
        "WHERE time >= {first:DateTime64(3)} AND time <= {last:DateTime64(3)}",
        {"first": first, "last": last},
    )[0]
    what = "pages, referring host, country, browser, device, interactions; no name, no address"
    return Affected("visits", int(rows), int(people), what)


def _waiting(data_dir: Path) -> Affected:
    """Rows that are not loaded yet: all of them, because nobody has read their times."""
    rows = sum(block.rows for segment in segments(Path(data_dir) / "spool") for block in segment.blocks)
    return Affected("spool", rows, None, "as visits, not loaded yet or being removed")


def _requests(data_dir: Path, first: dt.datetime, last: dt.datetime) -> Affected:
    register = Register(data_dir)
    found = [
        request
        for request in (register.all() if register.path.exists() else [])
        if request.subject != FORGOTTEN and any(first <= event.at <= last for event in request.events)
    ]
    people = sorted({request.subject for request in found})
    return _named("requests", len(found), len(people), "subject, right, reasons", people)


def _consents(ledger: Ledger, first: dt.datetime, last: dt.datetime) -> Affected:
    """Records of consent in the window; how many still lead to somebody, and to which of the site's own subjects."""
    rows, subjects = 0, set()
    for (chain,) in ledger.reader.query("chains", {}):
        if chains.log_of(chain) is not Log.CONSENTS:
            continue
        place, beyond = chains.position(chain, 0), chains.position(chain + 1, 0)
        while page := ledger.reader.query("chain_page", {"first": place, "beyond": beyond, "size": READ_AT_ONCE}):
            place = int(page[-1][0]) + 1
            for _, body, _ in page:
                record = decode_record(bytes(body))
                if first.timestamp() <= record.at <= last.timestamp():
                    rows += 1
                    subjects.add(ledger.subject_of(record) or "")
    known = sorted(subject for subject in subjects if subject and not subject.startswith("visitor:"))
    what = "choice, time, hash of the text; the subject is encrypted"
    return _named("consents", rows, len(subjects - {""}), what, known)


def _named(store: str, rows: int, people: int, what: str, subjects: list[str]) -> Affected:
    """With the address of everybody whom it is known of: the subject is one, or the site's tables say whose it is."""
    addresses, references = set(), []
    known = _addresses_by_subject() if any(not _is_address(subject) for subject in subjects) else {}
    for subject in subjects:
        if _is_address(subject):
            addresses.add(subject.removeprefix(EMAIL))
        elif subject in known:
            addresses.add(known[subject])
        else:
            references.append(subject)
    return Affected(store, rows, people, what, tuple(sorted(addresses)), tuple(references))


def _is_address(subject: str) -> bool:
    local, at, host = subject.removeprefix(EMAIL).rpartition("@")
    return bool(local and at and "." in host) and not any(c.isspace() for c in subject)


def _addresses_by_subject() -> dict[str, str]:
    """How the consent ledger knows each person ("member:42") -> the address, of those whom the hooks name."""
    found: dict[str, str] = {}
    names = list(hooks.providers())
    for address in (str(one) for name in names for one in hooks.call(name, "addresses") or ()):
        for name in names:
            found.update(dict.fromkeys(map(str, hooks.call(name, "subjects", address) or ()), address))
    return found


def as_dict(found: Report) -> dict[str, Any]:
    return dict(msgspec.to_builtins(found))
