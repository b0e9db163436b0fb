"""Retention: one table of every kind of data that is held, its clock in privacy.toml, and what ends it.

The service's job enforces all of them; `analytics doctor` shows them. What fails is reported and does not hold up the
others. Kinds without a clock are in the table too, with the reason why they stay.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from analytics.anonymise import ended, sealed
from analytics.anonymise.signing import Signer
from analytics.ingest import quarantine
from analytics.ingest.segments import segments
from analytics.reports import cellbuild
from analytics.reports.querylog import QueryLog
from analytics.store import Store
from analytics.store.migrations import KEPT_FROM, set_cells_retention, set_retention
from consent_middleware.ledger import Ledger, open_ledger
from consent_middleware.ledger.ages import Ages, ages
from consent_middleware.ledger.chain import Log
from consent_middleware.ledger.ledger import LEDGER_FILE
from consent_middleware.ledger.tombstones import end_old_entries
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_sections import Data
from consent_middleware.rights import providers as hooks
from consent_middleware.rights.desk import ANSWER_SECONDS, remove_old_answers
from consent_middleware.rights.register import FORGOTTEN, Register
from consent_middleware.rights.request import months_after
from consent_middleware.salts import DAY, DailySalts

log = logging.getLogger("analytics")

# What ends by itself ends a little after its time: the engine merges, heads are sealed daily, jobs run every six hours.
ROWS: Final = "visits, row by row"
GRACE: Final = dt.timedelta(days=2)


class Place(msgspec.Struct, frozen=True):
    """Where retention works."""

    store: Store
    data_dir: Path
    policy: PrivacyPolicy
    now: dt.datetime

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger | None]:
        """The ledger, or None where nobody has written one."""
        url = self.policy.consent.ledger
        if not url and not (self.data_dir / LEDGER_FILE).exists():
            yield None
            return
        opened = open_ledger(self.data_dir, url or None)
        try:
            yield opened
        finally:
            opened.close()


class Held(msgspec.Struct, frozen=True):
    """What is held of one kind: how much, since when, until when the oldest may stay, and whether that has passed."""

    count: int = 0
    since: dt.datetime | None = None
    until: dt.datetime | None = None  # the newest
    ends: dt.datetime | None = None  # when the oldest has to be gone
    overdue: bool = False


class Clock(msgspec.Struct, frozen=True):
    """`keeps` in words; `key` is where the policy file says so. `enforce` gives how much went."""

    what: str
    key: str
    keeps: str
    look: Callable[[Place], Held]
    enforce: Callable[[Place], int]


def clocks(policy: PrivacyPolicy) -> list[Clock]:
    """Every kind of data that this product keeps, and the site's own that have a provider."""
    kept, consent_days = policy.retention, policy.consent.lifetime_days
    return [
        Clock(ROWS, "retention.raw_days", f"{kept.raw_days} days", _rows, _end_rows),
        Clock("visits and cells, counted from those rows", "retention.raw_days", "as long as those rows",
              _counted, _end_counted),
        Clock("rows in the spool", "capture.spool_max_age_days", f"{policy.capture.spool_max_age_days} days",
              _spool, _nothing),
        Clock("rows that could not be loaded", "retention.raw_days", f"{kept.raw_days} days", _refused, _end_refused),
        Clock("sealed releases", "retention.cells_months", f"{kept.cells_months} months", _totals, _end_totals),
        Clock("imported totals of another tool", "retention.cells_months",
              f"{kept.cells_months} months after their import", _imported, _end_imported),
        Clock("records of consent", "retention.consent_record_years",
              f"{kept.consent_record_years} years after the consent's {consent_days} days", _consents, _end_entries),
        Clock("refusals, without anything about anybody", "retention.consent_record_years",
              f"{kept.consent_record_years} years after {consent_days} days", _refusals, _nothing),
        Clock("disclosures", "retention.disclosures_years", f"{kept.disclosures_years} years", _disclosures, _nothing),
        Clock("requests about rights", "retention.requests_years", f"{kept.requests_years} years after their end",
              _requests, _end_requests),
        Clock("answers to be fetched", "fixed", "24 hours", _answers, _end_answers),
        Clock("questions to the internal reports", "retention.query_log_months", f"{kept.query_log_months} months",
              _questions, _end_questions),
        Clock("salts of daily keys", "fixed", "48 hours", _salts, _end_salts),
        *(_of_the_site(data) for data in policy.data if data.provider and data.keep_days),
    ]  # fmt: skip


def survey(place: Place) -> list[tuple[Clock, Held | str]]:
    """Every clock with what is held; a sentence where that could not be found out."""
    return [(clock, _looked(clock, place)) for clock in clocks(place.policy)]


def _looked(clock: Clock, place: Place) -> Held | str:
    try:
        return clock.look(place)
    except Exception as error:  # one store that does not answer must not hide the others
        return f"can't be read: {error}"


def enforce(place: Place) -> dict[str, int]:
    """End everything whose time has passed: how much went of each kind. A failure is logged, and met again later."""
    gone = {}
    for clock in clocks(place.policy):
        try:
            gone[clock.what] = clock.enforce(place)
        except hooks.ProviderError as error:  # the operator's to mend, and its words say how
            log.error("retention of %s (%s) failed: %s", clock.what, clock.key, error)
        except Exception:
            log.exception("retention of %s (%s) failed", clock.what, clock.key)
    return gone


def _nothing(place: Place) -> int:
    """Ended elsewhere: with the records of consent, or by the loader."""
    return 0


def _rows(place: Place) -> Held:
    days = dt.timedelta(days=place.policy.retention.raw_days)
    found = place.store.query(place.store.sql("held"))
    if not found:
        return Held()
    starts = [(loaded if basis == "imported" else since) for _, basis, _, _, since, _, loaded in found]
    since = min(start.replace(tzinfo=dt.UTC) for start in starts)
    until = max(row[5] for row in found).replace(tzinfo=dt.UTC)
    return _held(place, sum(int(row[2]) for row in found), since, until, since + days)


def _end_rows(place: Place) -> int:
    # The engine drops what is too old by itself; what is found here is what its next merge has not reached yet.
    days = {"days": place.policy.retention.raw_days}
    set_retention(place.store, place.policy.retention.raw_days)
    past = f"{KEPT_FROM} < now() - toIntervalDay({{days:UInt32}})"
    old = int(place.store.query(f"SELECT count() FROM events WHERE {past}", days)[0][0])
    if old:
        table = f"{place.store.local('events')} {place.store.on_cluster}"
        place.store.command(f"ALTER TABLE {table} DELETE WHERE {past}", days, mutations_sync=2)
    return old


def _counted(place: Place) -> Held:
    found = place.store.query("SELECT sum(visits), min(day), max(day) FROM visits WHERE part IN ('inside', 'over')")
    count, first, last = found[0]
    if not count:
        return Held()
    since, until = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (first, last))
    return Held(int(count), since, until)


def _end_counted(place: Place) -> int:
    return cellbuild.forget_builds(place.store, place.now)


def _spool(place: Place) -> Held:
    found = list(segments(place.data_dir / "spool"))
    days = dt.timedelta(days=place.policy.capture.spool_max_age_days)
    held = _by_times(place, [dt.datetime.fromtimestamp(s.born, dt.UTC) for s in found if s.end], days)
    return msgspec.structs.replace(held, count=sum(block.rows for segment in found for block in segment.blocks))


def _refused(place: Place) -> Held:
    return _files(place, quarantine.files(place.data_dir), dt.timedelta(days=place.policy.retention.raw_days))


def _end_refused(place: Place) -> int:
    limit = place.now - dt.timedelta(days=place.policy.retention.raw_days)
    return _unlink(path for path in quarantine.files(place.data_dir) if _modified(path) < limit)


def _totals(place: Place) -> Held:
    folder, months = place.data_dir / "releases", place.policy.retention.cells_months
    found = [r for r in (sealed.releases(folder) if folder.is_dir() else []) if r.path.exists()]
    if not found:
        return Held()
    ends = min(ended.last_day(release, months) for release in found)
    return _held(
        place,
        len(found),
        _midnight(min(release.period.first for release in found)),
        _midnight(max(release.period.last for release in found)),
        _midnight(ends),
    )


def _end_totals(place: Place) -> int:
    folder = place.data_dir / "releases"
    if not folder.is_dir():
        return 0
    signer = Signer.open(place.data_dir / "keys")
    return len(ended.end_old(folder, place.policy.retention.cells_months, signer, place.now.date()))


def _imported(place: Place) -> Held:
    ((count, since, until),) = place.store.query(place.store.sql("held_imports"))
    if not count:
        return Held()
    since, until = since.replace(tzinfo=dt.UTC), until.replace(tzinfo=dt.UTC)
    ends = _midnight(months_after(since.date(), place.policy.retention.cells_months))
    return _held(place, int(count), since, until, ends)


def _end_imported(place: Place) -> int:
    # As with rows: what is found here is what the engine's next merge has not reached yet.
    values = {"months": place.policy.retention.cells_months, "now": place.now}
    set_cells_retention(place.store, place.policy.retention.cells_months)
    past = "loaded < {now:DateTime} - toIntervalMonth({months:UInt32})"
    old = int(place.store.query(f"SELECT count() FROM imported_cells WHERE {past}", values)[0][0])
    if old:
        table = f"imported_cells {place.store.on_cluster}"
        place.store.command(f"ALTER TABLE {table} DELETE WHERE {past}", values, mutations_sync=2)
    return old


def _log(place: Place, which: Log, years: int, extra_days: int) -> Held:
    with place.ledger() as ledger:
        found = ages(ledger, which) if ledger else Ages()
    if found.oldest is None:
        return Held()
    ends = found.oldest + dt.timedelta(days=365.25 * years + extra_days)
    return _held(place, found.count, found.oldest, found.newest, ends)


def _consents(place: Place) -> Held:
    return _log(place, Log.CONSENTS, place.policy.retention.consent_record_years, place.policy.consent.lifetime_days)


def _refusals(place: Place) -> Held:
    return _log(place, Log.REFUSALS, place.policy.retention.consent_record_years, place.policy.consent.lifetime_days)


def _disclosures(place: Place) -> Held:
    return _log(place, Log.DISCLOSURES, place.policy.retention.disclosures_years, 0)


def _end_entries(place: Place) -> int:
    """All logs of the ledger at once, as its workers do every day."""
    with place.ledger() as ledger:
        if ledger is None:
            return 0
        done = end_old_entries(
            ledger,
            record_years=place.policy.retention.consent_record_years,
            disclosure_years=place.policy.retention.disclosures_years,
            lifetime_days=place.policy.consent.lifetime_days,
            now=place.now.timestamp(),
        )
    return sum(part.entries for part in done)


def _requests(place: Place) -> Held:
    register = Register(place.data_dir)
    named = [r for r in register.all() if r.subject != FORGOTTEN] if register.path.exists() else []
    closed = [request.closed.at for request in named if request.closed]
    if not named:
        return Held()
    years = place.policy.retention.requests_years
    ends = min(closed) + dt.timedelta(days=365 * years) if closed else None
    since, until = min(r.opened for r in named), max(r.opened for r in named)
    return _held(place, len(named), since, until, ends)


def _end_requests(place: Place) -> int:
    register = Register(place.data_dir)
    if not register.path.exists():
        return 0
    limit = place.now.date() - dt.timedelta(days=365 * place.policy.retention.requests_years)
    return register.forget_closed(limit)


def _answers(place: Place) -> Held:
    found = list((place.data_dir / "answers").glob("*.json"))
    return _files(place, found, dt.timedelta(seconds=ANSWER_SECONDS), grace=dt.timedelta(hours=7))


def _end_answers(place: Place) -> int:
    return remove_old_answers(place.data_dir, place.now.timestamp())


def _questions(place: Place) -> Held:
    months = place.policy.retention.query_log_months
    count, first, last = QueryLog(place.data_dir, months).held()
    if first is None:
        return Held()
    # A month goes as a whole, when its last day is as old as that.
    ends = _midnight(months_after(first.date().replace(day=1), months + 1))
    return _held(place, count, first, last, ends)


def _end_questions(place: Place) -> int:
    return QueryLog(place.data_dir, place.policy.retention.query_log_months).purge(place.now.date())


def _salts(place: Place) -> Held:
    days = [int(path.stem) for path in (place.data_dir / "salts").glob("*.salt") if path.stem.isdigit()]
    times = [dt.datetime.fromtimestamp(day * DAY, dt.UTC) for day in days]
    return _by_times(place, times, dt.timedelta(hours=48), grace=dt.timedelta(hours=7))


def _end_salts(place: Place) -> int:
    folder = place.data_dir / "salts"
    before = len(list(folder.glob("*.salt")))
    DailySalts(folder).destroy_old(int(place.now.timestamp() // DAY))
    return before - len(list(folder.glob("*.salt")))


def _of_the_site(data: Data) -> Clock:
    """A kind of the site's own: its provider tells the oldest day, and ends what is older than the policy keeps."""
    days = dt.timedelta(days=data.keep_days or 0)
    name = data.name if isinstance(data.name, str) else data.provider

    def look(place: Place) -> Held:
        oldest = _ask(data, "oldest")
        if oldest is None:
            return Held()
        since = _midnight(oldest)
        return _held(place, 0, since, None, since + days + dt.timedelta(days=1))

    def end(place: Place) -> int:
        return int(_ask(data, "expire", (place.now - days).date()))

    return Clock(f"the site's own: {name or data.provider}", f"data.keep_days of {data.provider}",
                 f"{data.keep_days} days", look, end)  # fmt: skip


def _ask(data: Data, ability: str, *arguments: object) -> Any:
    known = hooks.providers()
    if data.provider not in known or not hasattr(known[data.provider], ability):
        raise hooks.ProviderError(
            f'the provider "{data.provider}" of privacy.toml was not asked: {hooks.HOW_TO_NAME_HOOKS}'
            if data.provider not in known
            else f'provider "{data.provider}" offers no {ability}()'
        )
    return hooks.call(data.provider, ability, *arguments)


def _held(
    place: Place,
    count: int,
    since: dt.datetime | None,
    until: dt.datetime | None,
    ends: dt.datetime | None,
    grace: dt.timedelta = GRACE,
) -> Held:
    return Held(count, since, until, ends, ends is not None and place.now > ends + grace)


def _by_times(place: Place, times: list[dt.datetime], keep: dt.timedelta, grace: dt.timedelta = GRACE) -> Held:
    if not times:
        return Held()
    return _held(place, len(times), min(times), max(times), min(times) + keep, grace)


def _files(place: Place, paths: list[Path], keep: dt.timedelta, grace: dt.timedelta = GRACE) -> Held:
    return _by_times(place, [_modified(path) for path in paths], keep, grace)


def _modified(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _unlink(paths: Iterator[Path]) -> int:
    gone = 0
    for path in list(paths):
        path.unlink(missing_ok=True)
        gone += 1
    return gone


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
