"""What the service does in the background: each function does its work once and returns what it did."""

from __future__ import annotations

import datetime as dt
import logging
import os
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import msgspec

from analytics import retention
from analytics.anonymise import release as releasing
from analytics.anonymise.cubes import CubeError
from analytics.anonymise.mechanism import OverspendError
from analytics.anonymise.sealed import SealError
from analytics.ingest.checkpoint import destroy_old_salts
from analytics.ingest.loader import load_pending
from analytics.reports import cellbuild, letters
from analytics.reports.dashboard.warming import warm
from analytics.reports.querylog import QueryLog
from analytics.reports.reporting import Reporting
from analytics.store import Store, open_store
from analytics.store.resident import give_back
from analytics.subject import answer_pending
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.providers import ProviderError, asked_of_the_site

log = logging.getLogger("analytics")


class Workplace(msgspec.Struct, frozen=True):
    """What a job works on; without a policy nothing is loaded, answered or sealed."""

    store: Store
    data_dir: Path
    policy: PrivacyPolicy | None
    reporting: Reporting | None = None
    store_url: str | None = None  # where it is a server's


def load(at: Workplace) -> object:
    return load_pending(at.store, at.data_dir, at.policy) if at.policy else None


def answer_requests(at: Workplace) -> object:
    return answer_pending(at.store, at.data_dir, at.policy) if at.policy else None


def count_cells(at: Workplace) -> list[str]:
    """Cells of busy sites, through a client of their own: the loader's must not wait behind them. A day is
    counted between two large questions, since both at once would take the memory of both."""
    if at.reporting is None or at.store.cluster:
        return []
    done = []
    busy = [site for site, held in at.reporting.rows_by_site().items() if held >= at.reporting.raw_rows]
    for site in busy:
        with open_store(at.store_url, at.data_dir, migrate=False) as store:
            counted = cellbuild.count_cells(store, site, at.reporting.zone, _now, turn=partial(_turn, at))
        done += [f"{site} {due.level} {due.day}" for due in counted]
        if not counted:  # while cells are missing, nobody but a reader shall have millions of rows read
            warm(at.reporting, site)
    return done


def give_memory_back(at: Workplace) -> int:
    """What questions needed of the engine's library and do not need now; how many bytes."""
    return give_back()


def seal(at: Workplace) -> list[str]:
    """Every period that is ready; one that cannot be sealed does not hold up the others."""
    if at.policy is None:
        return []
    site, releases_dir = at.policy.site.site_id, at.data_dir / "releases"
    sql = "SELECT count(), toDate(min(time)) FROM events WHERE site = {site:String}"
    held, since = at.store.query(sql, {"site": site})[0]
    done = []
    for period in releasing.due(at.policy, site, releases_dir, dt.datetime.now(dt.UTC), since) if held else ():
        try:
            with _turn(at):
                done.append(str(releasing.seal(at.store, at.policy, site, period, releases_dir).period))
        except (CubeError, OverspendError, SealError) as error:
            log.warning("%s of %s was not sealed: %s", period, site, error)
    return done


def _turn(at: Workplace) -> AbstractContextManager[None]:
    """For what takes as much memory as a large question does."""
    return at.reporting.pool.turns.take(patient=True) if at.reporting else nullcontext()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def send_letters(at: Workplace) -> list[str]:
    """Reports that are due by e-mail, when ANALYTICS_SMTP names a mail server."""
    smtp = os.environ.get("ANALYTICS_SMTP", "")
    if at.reporting is None or not smtp:
        return []
    return letters.send_due(at.reporting, smtp, os.environ.get("ANALYTICS_SENDER", "analytics@localhost"))


def retain(at: Workplace) -> int:
    """End everything that is past its time, of every kind that the policy has a clock for; how many rows of visits."""
    destroy_old_salts(at.data_dir)
    if at.policy is None:
        QueryLog(at.data_dir).purge(dt.datetime.now(dt.UTC).date())
        return 0
    try:
        asked_of_the_site(at.policy, os.environ.get("CONSENT_HOOKS"))
    except ProviderError as error:
        log.warning("the site's own tables keep their rows: %s", error)
    gone = retention.enforce(retention.Place(at.store, at.data_dir, at.policy, dt.datetime.now(dt.UTC)))
    cellbuild.forget_numbers(at.store)
    for what, count in gone.items():
        if count:
            log.info("%s: %d past their time", what, count)
    return gone.get(retention.ROWS, 0)
