"""Every kind of data has its clock: shown by the doctor, overdue when it runs late, ended by one job."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics import jobs, retention
from analytics.anonymise import sealed
from analytics.anonymise.signing import Signer
from analytics.ingest import quarantine
from analytics.reports.querylog import Entry, QueryLog
from analytics.reports.released import ReleasedReader
from analytics.share import sharing
from analytics.share.recipients import ShareRefused
from analytics.store import Store
from consent_middleware import rights
from consent_middleware.forms import append_consent
from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.heads import seal_if_due
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights import providers
from consent_middleware.rights.desk import write_answer
from consent_middleware.rights.register import Register
from tests.reports.conftest import insert, insert_cell, row
from tests.share.sealed_day import DAY, SITE, write_sealed_day

POLICY = """
revision = 1
updated = 2026-11-20
[controller]
name = "Example"
[site]
hosts = ["site.example"]
hooks = "none"
[[data]]
name = "Enquiries"
purpose = "To answer"
provider = "enquiries"
keep_days = 730
"""
LONG_AGO = dt.datetime(2010, 1, 1, tzinfo=dt.UTC)
FAR = dt.datetime(2060, 1, 1, tzinfo=dt.UTC)


class Enquiries:
    rows: list[dt.date]

    def find(self, subject: str) -> list[dict[str, object]]:
        return []

    def oldest(self) -> dt.date | None:
        return min(self.rows, default=None)

    def expire(self, before: dt.date) -> int:
        old = [day for day in self.rows if day < before]
        self.rows = [day for day in self.rows if day >= before]
        return len(old)


@pytest.fixture
def site_rows(monkeypatch: pytest.MonkeyPatch) -> Enquiries:
    """The site's own table, under the name that the policy has."""
    monkeypatch.setattr(providers, "_PROVIDERS", {})
    rights.provider("enquiries")(Enquiries)
    table: Enquiries = providers.providers()["enquiries"]
    today = dt.datetime.now(dt.UTC).date()
    table.rows = [today - dt.timedelta(days=900), today - dt.timedelta(days=10)]
    return table


@pytest.fixture
def everything(tmp_path: Path, store: Store, site_rows: Enquiries) -> Path:
    """Something of every kind, most of it past its time."""
    write_sealed_day(tmp_path)
    now = dt.datetime.now(dt.UTC)
    insert(store, [row(1, f"{now - dt.timedelta(days=1):%Y-%m-%d %H:%M:%S}")])
    insert_cell(store, now)
    store.command("TRUNCATE TABLE visits")
    store.command("INSERT INTO visits (build, day, part, number, visits) VALUES (7, '2026-11-10', 'inside', 1, 1)")
    quarantine.write(tmp_path, "t", [("reason", b"line")])
    write_answer(tmp_path, "ticket", b"{}")
    (tmp_path / "salts").mkdir()
    (tmp_path / "salts" / "14000.salt").write_bytes(b"s")
    QueryLog(tmp_path).add(Entry("2010-01-02", "a", "b", "c", {}))
    register = Register(tmp_path)
    register.open("access", "old@person.example", identity="cookie", now=LONG_AGO)
    register.step(1, "answered", text="done", now=LONG_AGO)
    ledger = open_ledger(tmp_path)
    policy = PrivacyPolicy.parse(POLICY)
    given = {"purpose": "newsletter", "given": True, "text": "Yes.", "subject": "a@b.example", "valid_days": 10}
    asyncio.run(append_consent(ledger, policy, **given))
    ledger.append_disclosure({"at": "2010-01-02T00:00:00+00:00", "recipient": "R", "period": "day:2010-01-01"})
    seal_if_due(ledger)
    ledger.close()
    for path in (tmp_path / "quarantine" / "t.jsonl", tmp_path / "answers" / "ticket.json"):
        os.utime(path, (LONG_AGO.timestamp(),) * 2)
    return tmp_path


def place(data_dir: Path, store: Store, now: dt.datetime | None = None) -> retention.Place:
    return retention.Place(store, data_dir, PrivacyPolicy.parse(POLICY), now or dt.datetime.now(dt.UTC))


def overdue(at: retention.Place) -> set[str]:
    return {clock.what for clock, held in retention.survey(at) if isinstance(held, str) or held.overdue}


def test_the_survey_names_every_kind_and_what_is_overdue(everything: Path, store: Store) -> None:
    found = dict(retention.survey(place(everything, store)))
    assert all(isinstance(held, retention.Held) for held in found.values()), found
    held = {clock.what for clock, state in found.items() if not isinstance(state, str) and state.since}
    assert held == {clock.what for clock in found} - {"rows in the spool", "refusals, without anything about anybody"}
    assert overdue(place(everything, store)) == {
        "rows that could not be loaded", "answers to be fetched", "questions to the internal reports",
        "salts of daily keys", "requests about rights", "disclosures", "the site's own: Enquiries",
    }  # fmt: skip


def test_one_job_ends_them_all(everything: Path, store: Store, site_rows: Enquiries) -> None:
    jobs.retain(jobs.Workplace(store, everything, PrivacyPolicy.parse(POLICY)))
    assert overdue(place(everything, store)) == {"disclosures"}, "ends with the sealed period of the ledger it lies in"
    assert len(site_rows.rows) == 1
    assert list((everything / "answers").iterdir()) == []
    assert list((everything / "query-log").iterdir()) == []
    assert Register(everything).read(1).subject == "(forgotten)"


def test_in_the_end_nothing_is_left(everything: Path, store: Store, site_rows: Enquiries) -> None:
    """The same job, decades later: every clock has run out, whatever it was set to."""
    at = place(everything, store, FAR)
    assert retention.ROWS in overdue(at)
    retention.enforce(at)
    left = {c.what: h for c, h in retention.survey(at) if isinstance(h, str) or h.overdue}
    assert set(left) <= {retention.ROWS}, "rows go by the engine's own clock, which a test can't turn"
    assert site_rows.rows == []
    assert not list((everything / "releases").glob("*/*.parquet"))


def test_a_release_ends_with_its_cells_and_keeps_its_place_in_the_chain(tmp_path: Path, store: Store) -> None:
    write_sealed_day(tmp_path)
    releases = tmp_path / "releases"
    at = place(tmp_path, store, dt.datetime(2028, 12, 19, tzinfo=dt.UTC))  # 25 months after 19 November 2026
    retention.enforce(at)
    assert (releases / SITE / "day-2026-11-19.parquet").exists(), "not a day early"
    retention.enforce(msgspec.structs.replace(at, now=at.now + dt.timedelta(days=1)))
    assert not (releases / SITE / "day-2026-11-19.parquet").exists()
    assert sealed.verify(releases) == []
    assert ReleasedReader(releases).releases(SITE) == []
    with pytest.raises(ShareRefused, match="have ended"):
        sharing.read_release(releases, SITE, DAY)


def test_a_file_that_is_missing_without_a_signed_note_is_a_problem(tmp_path: Path) -> None:
    write_sealed_day(tmp_path)
    releases = tmp_path / "releases"
    (releases / SITE / "day-2026-11-19.parquet").unlink()
    assert sealed.verify(releases) != []
    statement = {"site": SITE, "period": str(DAY), "sha256": sealed.releases(releases)[0].sha256, "ended": "2026-12-01"}
    stranger = Signer.open(tmp_path / "other-keys")
    forged = {"ended": statement, "key": stranger.public_key, "signature": stranger.sign(sealed.canonical(statement))}
    (releases / SITE / "day-2026-11-19.ended").write_text(json.dumps(forged))
    assert sealed.verify(releases) != []


def test_one_kind_that_fails_does_not_hold_up_the_others(
    everything: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        raise OSError("no")

    monkeypatch.setattr(retention, "_end_refused", broken)
    gone = retention.enforce(place(everything, store))
    assert "rows that could not be loaded" not in gone
    assert gone["answers to be fetched"] == 1


def test_a_table_that_nobody_can_ask_is_a_problem_and_not_forgotten(
    everything: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "_PROVIDERS", {})
    held = {clock.what: state for clock, state in retention.survey(place(everything, store))}
    assert "was not asked" in str(held["the site's own: Enquiries"])
