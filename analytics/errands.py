"""What the commands do with the store, as values: done in the command, or by the service that owns the data folder.

The embedded engine lets one process open a folder. So that a right can be served and a breach be counted while the
service runs, a command hands its errand to the service. It shows the token of `service.json`, a file of the data
folder with mode 0600: whoever can read that file could open the store as well.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from analytics import breach, doctor, sites, subject
from analytics.imports import Import, Imported, import_file
from analytics.ingest import loader
from analytics.ingest.progress import only_loader
from analytics.ingest.segments import SYNCED_SECONDS
from analytics.reports.errors import no_site
from analytics.retention import Place
from analytics.store import Store
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.providers import ProviderError, asked_of_the_site

SETTLE_SECONDS: Final = 3  # the engine takes old parts away a second or two after they were replaced
LOOK_SECONDS: Final = 0.25
Answer = TypeVar("Answer")


class Examine(msgspec.Struct, frozen=True, tag="doctor"):
    hooks: str | None = None


class CountAffected(msgspec.Struct, frozen=True, tag="breach"):
    first: dt.datetime
    last: dt.datetime
    noticed: dt.datetime
    hooks: str | None = None


class Erase(msgspec.Struct, frozen=True, tag="erase"):
    """`visitor`: a key; None erases again whoever stands on the list of erasures."""

    visitor: int | None


class Load(msgspec.Struct, frozen=True, tag="load"):
    retry: bool = False


class Due(msgspec.Struct, frozen=True, tag="due"):
    """Which periods of a site could be sealed now."""

    site: str


class Seal(msgspec.Struct, frozen=True, tag="seal"):
    """One period, in its written form ("day:2026-11-20")."""

    site: str
    period: str


class CountLate(msgspec.Struct, frozen=True, tag="late"):
    """Rows that arrived after the seal of their period."""

    site: str


Errand = Examine | CountAffected | Erase | Load | Import | Due | Seal | CountLate


class Affected(msgspec.Struct, frozen=True):
    """`site_asked`: whether a module of the site with its own tables was named."""

    report: breach.Report
    site_asked: bool


class Erased(msgspec.Struct, frozen=True):
    """`left`: rows of erased visitors that are still found."""

    erased_rows: int = 0
    left: int = 0
    known: bool = True


ANSWERS: Final[dict[type, Any]] = {
    Examine: doctor.Found,
    CountAffected: Affected,
    Erase: Erased,
    Load: loader.LoadSummary,
    Import: Imported,
    Due: list[str],  # periods
    Seal: str,  # the path of the manifest
    CountLate: dict[str, int],  # period -> rows
}


def do(
    errand: Errand,
    store: Store,
    data_dir: Path,
    policy: PrivacyPolicy | None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Any:
    """Do it; the answer is of the type that ANSWERS gives. Raises UserError, StoreError."""
    if isinstance(errand, Import):
        return import_file(errand, store, data_dir, policy, on_progress)
    if policy is None:
        raise UserError("this needs the policy file: name it by --policy")
    now = dt.datetime.now(dt.UTC)
    if isinstance(errand, Examine):
        return doctor.examine(store, data_dir, policy, errand.hooks, now)
    if isinstance(errand, CountAffected):
        return _affected(errand, store, data_dir, policy, now)
    if isinstance(errand, Erase):
        return _erase(errand, store, data_dir, policy)
    if isinstance(errand, Due | Seal | CountLate):
        return _of_releases(errand, store, data_dir / "releases", policy, now)
    with only_loader(data_dir / "spool"):
        summary = loader.load_pending(store, data_dir, policy)
        return loader.retry_quarantine(store, data_dir, summary) if errand.retry else summary


def _affected(errand: CountAffected, store: Store, data_dir: Path, policy: PrivacyPolicy, now: dt.datetime) -> Affected:
    try:
        site_asked = asked_of_the_site(policy, errand.hooks)
        with Place(store, data_dir, policy, now).ledger() as ledger:
            found = breach.report(store, data_dir, policy, ledger, errand.first, errand.last, errand.noticed)
    except ProviderError as error:
        raise UserError(str(error)) from None
    return Affected(found, site_asked)


def _erase(errand: Erase, store: Store, data_dir: Path, policy: PrivacyPolicy) -> Erased:
    """The loader may go on while this looks and waits, and not while rows are taken away."""
    if errand.visitor is not None and not find(store, data_dir, policy, errand.visitor):
        return Erased(known=False)
    with only_loader(data_dir / "spool"):
        if errand.visitor is None:
            rows = subject.replay_erasures(store, data_dir)
        else:
            rows = subject.erase(store, data_dir, [errand.visitor]).get(errand.visitor, 0)
    time.sleep(SETTLE_SECONDS)
    left = store.query("SELECT count() FROM events WHERE visitor IN (SELECT visitor FROM erased)")[0][0]
    return Erased(rows, int(left))


def find(store: Store, data_dir: Path, policy: PrivacyPolicy, visitor: int) -> bool:
    """Load what is in the spool until something of this visitor is here; False when nothing came in SYNCED_SECONDS."""
    ends = time.monotonic() + SYNCED_SECONDS
    while True:
        last = time.monotonic() >= ends
        loader.load_pending(store, data_dir, policy)
        if subject.is_known(store, data_dir, visitor):
            return True
        if last:
            return False
        time.sleep(LOOK_SECONDS)


def _of_releases(
    errand: Due | Seal | CountLate, store: Store, releases_dir: Path, policy: PrivacyPolicy, now: dt.datetime
) -> Any:
    from analytics.anonymise import release, sealed
    from analytics.anonymise.cubes import CubeError
    from analytics.anonymise.mechanism import OverspendError
    from analytics.anonymise.periods import Period

    site = errand.site
    if site not in (known := sites.known_in(store, policy)):  # no pattern stands for it: a seal can't be undone
        raise UserError(no_site(site, known))
    try:
        if isinstance(errand, CountLate):
            return {str(one.period): release.late_events(store, one) for one in sealed.releases(releases_dir, site)}
        if isinstance(errand, Due):
            return [str(period) for period in release.due_in(store, policy, site, releases_dir, now)]
        made = release.seal(store, policy, site, Period.parse(errand.period), releases_dir)
        return str(made.path.with_suffix(".json"))
    except (CubeError, OverspendError, sealed.SealError, ValueError) as error:
        raise UserError(str(error)) from None
