"""The one door to answers: the API, the dashboard and the command line all ask here.

Holds a few read-only engines (a slow question must not hold up the others), what the sites define, and the query log.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from analytics.reports import answer as answers
from analytics.reports import exploring, holdings, lanes, paths
from analytics.reports.daterange import Range, previous, resolve
from analytics.reports.errors import UnknownSite
from analytics.reports.exploring import CohortsQuestion, FunnelQuestion, JourneyQuestion
from analytics.reports.holdings import Cover
from analytics.reports.kept import Kept
from analytics.reports.limits import parameter
from analytics.reports.planner import scope_parameters, sql_text
from analytics.reports.pool import Pool
from analytics.reports.query import Query
from analytics.reports.released import ReleasedReader
from analytics.reports.saved import Saved
from analytics.reports.ties import ties_key
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy

SHARE_SECONDS = 60.0
SITES_SECONDS = 5.0
MOST_FEW = 100  # so many visitors can be told apart without a set of them
SITES_SHARE = 300.0  # how many times as long as it took the count of rows by site is believed


class Reporting:
    """Answers of one data folder. `now` can be set, so that a demo and a test stand on a known day."""

    def __init__(
        self,
        pool: Pool,
        data_dir: Path,
        policy: PrivacyPolicy | None,
        *,
        minimum_cell: int | None = None,
        zone: str = "UTC",
        now: Callable[[], dt.datetime] | None = None,
        raw_rows: int = holdings.RAW_ROWS,
    ) -> None:
        """`raw_rows`: ranges with fewer rows are never answered from cells."""
        self.pool, self.data_dir, self.policy, self.zone = pool, data_dir, policy, zone
        self.minimum_cell = minimum_cell or (policy.anonymity.minimum_cell if policy else 5)
        self.now = now or (lambda: dt.datetime.now(dt.UTC))
        self.raw_rows = raw_rows
        self.kept = Kept()
        self.saved = Saved(data_dir)
        self._ties = ties_key(data_dir)
        self.released = ReleasedReader(data_dir / "releases")
        self._shares: dict[tuple[str, Range], tuple[float, float | None]] = {}
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._sites: tuple[float, float, dict[str, int]] = (0.0, 0.0, {})
        self._met: set[str] = set()  # sites that have, or had, a row

    def sites(self) -> list[str]:
        """Sites with data, the busiest first, and the policy's own."""
        own = [self.policy.site.site_id] if self.policy else []
        return list(dict.fromkeys([*self.rows_by_site(), *own]))

    def rows_by_site(self) -> dict[str, int]:
        """Rows of each site, the most first. Counting them reads every row, so it is done the more rarely the longer
        it takes: a few seconds old on a small store, minutes on a large one."""
        with self._counting:
            at, took, known = self._sites
            if not known or time.monotonic() - at > max(SITES_SECONDS, SITES_SHARE * took):
                started = time.monotonic()
                sql = "SELECT site, count() AS held FROM events GROUP BY site ORDER BY held DESC, site"
                known = {str(site): int(held) for site, held in self.pool.query(sql)}
                self._sites = (time.monotonic(), time.monotonic() - started, known)
            return known

    def _known(self, site: str) -> bool:
        """Whether there is such a site, without a count of all rows: nobody's question shall wait for that."""
        if site not in self._met:
            own = self.policy is not None and site == self.policy.site.site_id
            sql = "SELECT 1 FROM events WHERE site = {site:String} LIMIT 1"
            if not own and not self.pool.query(sql, {"site": site}):
                return False
            self._met.add(site)
        return True

    def span(self, site: str) -> tuple[dt.datetime, dt.datetime] | None:
        """First and last instant with a row of this site."""
        sql = "SELECT count(), min(time), max(time) FROM events WHERE site = {site:String}"
        held, first, last = self.pool.query(sql, {"site": site})[0]
        return (_utc(first), _utc(last)) if held else None

    def setting(self, site: str, *, whole: bool = True) -> answers.Setting:
        """`whole`: the question is about all there is, so look where that begins. Raises UnknownSite."""
        if not self._known(site):
            raise UnknownSite(site, self.sites())
        span = self.span(site) if whole else None
        return answers.Setting(
            zone=self.zone,
            goals=self.saved.goals(site),
            minimum_cell=self.minimum_cell,
            earliest=span[0] if span else None,
            whole_share=self.share_without_key,
            ties=self._ties,
        )

    def ask(self, query: Query) -> dict[str, Any]:
        """The answer on the query's lane. Raises QueryError, QueryTimeout, UnknownSite."""
        if query.lane == "released":
            return lanes.answer(self.released, self.saved.resolve(query), self.now())
        setting = self.setting(query.site_id, whole=query.date_range == "all")
        query, now = self.saved.resolve(query), self.now()
        range_ = resolve(query.date_range, now=now, zone=self.zone, earliest=setting.earliest)

        if query.include.imports or not holdings.whole_days(range_):
            return answers.answer(self.pool, query, setting, now)  # imported totals leave no mark on the raw rows
        ranges = (range_, *([previous(range_, query.include.compare)] if query.include.compare else []))
        raw = holdings.read_raw(self.pool)
        covers = {each: self._cover(raw, query.site_id, each) for each in ranges}
        setting = msgspec.structs.replace(setting, cover=covers.get)
        key = (
            query,
            ranges,
            setting.goals,
            setting.minimum_cell,
            *(covers[each] or raw.fingerprint for each in ranges),
        )
        return self.kept.get(key, lambda: answers.answer(self.pool, query, setting, now))

    def cover(self, site: str, range_: Range) -> Cover | None:
        """The cells that answer for a range, if there are any that are up to date."""
        return self._cover(holdings.read_raw(self.pool), site, range_)

    def _cover(self, raw: holdings.Raw, site: str, range_: Range) -> Cover | None:
        if raw.total < self.raw_rows:
            return None
        builds = holdings.read_builds(self.pool, site, range_.zone)
        return holdings.cover(raw, builds, range_, self.now(), self.raw_rows)

    def explore(self, what: str, site: str, asked: dict[str, Any]) -> Any:
        """A funnel, a journey or the cohorts of a site. Raises QueryError, UnknownSite."""
        question = exploring.parse(what, msgspec.json.encode({**asked, "site_id": site}))
        setting = self.setting(site, whole=question.date_range == "all")
        filters = self.saved.resolve(Query(site, ("visitors",), question.date_range, (), question.filters)).filters
        range_ = resolve(question.date_range, now=self.now(), zone=self.zone, earliest=setting.earliest)
        match question:
            case FunnelQuestion(steps=steps):
                return paths.funnel(self.pool, site, range_, setting, steps, filters)
            case JourneyQuestion(page=page):
                return paths.journey(self.pool, site, range_, setting, page, filters)
            case CohortsQuestion():
                return paths.cohorts(self.pool, site, range_, setting, filters)

    def share_without_key(self, site: str, range_: Range) -> float | None:
        """How much of the range's page views and events carry no visitor key, from 0 to 1; None without any,
        and where so few visitors have one that their rows would follow from it.

        What a log says of pictures and style sheets is left out: nobody would give those a key.
        """
        key = (site, range_)
        with self._lock:
            at, share = self._shares.get(key, (0.0, None))
        if time.monotonic() - at < SHARE_SECONDS and at:
            return share
        few = f"uniqUpToIf({MOST_FEW})(visitor, visitor != 0)"
        sql = f"SELECT count(), countIf(visitor = 0), {few} FROM events WHERE name != 'request' AND {sql_text('scope')}"
        if (cover := self.cover(site, range_)) is not None:
            sql = (
                "SELECT sum(held), sum(unkeyed), max(size) FROM cells WHERE kind = 'rows' AND cube = 'event:name' "
                f"AND key != 'request' AND build IN ({', '.join(map(str, cover.whole)) or 0})"
            )
        parameters = {name: parameter(value) for name, value in scope_parameters(site, range_).items()}
        held, unkeyed, visitors = self.pool.query(sql, parameters)[0]
        # Of cells it is the largest set, which is at most as many as there are.
        hidden = 0 < visitors < min(self.minimum_cell, MOST_FEW)
        share = round(unkeyed / held, 4) if held and not hidden else None
        with self._lock:
            if len(self._shares) > 500:
                self._shares.clear()
            self._shares[key] = (time.monotonic(), share)
        return share

    def recent(self, site: str) -> str:
        """Visitors of the last 30 minutes in words, in steps of five: nobody is watched alone."""
        now = self.now()
        range_ = Range(now - dt.timedelta(minutes=30), now + dt.timedelta(seconds=5))
        sql = f"SELECT uniqExactIf(visitor, visitor != 0) FROM events WHERE {sql_text('scope')}"
        parameters = {name: parameter(value) for name, value in scope_parameters(site, range_).items()}
        visitors = int(self.pool.query(sql, parameters)[0][0])
        step = max(5, self.minimum_cell)
        few = visitors < step
        return f"fewer than {step} in the last 30 min" if few else f"{visitors // step * step}+ in the last 30 min"

    def close(self) -> None:
        self.pool.close()


def _utc(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def open_reporting(
    open_store: Callable[..., Store], data_dir: Path, policy: PrivacyPolicy | None, **options: Any
) -> Reporting:
    """Reporting on read-only stores of a data folder whose tables exist."""
    return Reporting(Pool(lambda: open_store(None, data_dir, mode="ro")), data_dir, policy, **options)
