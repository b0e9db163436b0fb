"""Retention: whole sealed periods end under a signed tombstone, and what is left still verifies and proves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from consent_middleware.forms import consent_of, record_consent
from consent_middleware.keys import canonical, signing_key
from consent_middleware.ledger import Ledger, open_ledger
from consent_middleware.ledger.heads import seal, seal_if_due
from consent_middleware.ledger.proofs import NothingToProve, consistency_proof, inclusion_proof
from consent_middleware.ledger.subject_keys import new_key
from consent_middleware.ledger.subject_keys import seal as sealed
from consent_middleware.ledger.tombstones import Ended, end_old_entries
from tests.ledger.parts import a_record, a_scope, fill, services_in
from tests.ledger.test_proofs import bare_python, checked
from tests.ledger.test_verifying import checked as verified

pytestmark = pytest.mark.anyio
__all__ = ["bare_python"]

YEAR = 31_557_600
NOW = time.time()


def end(ledger: Ledger, now: float) -> list[Ended]:
    return end_old_entries(ledger, record_years=7, disclosure_years=7, lifetime_days=182, now=now)


async def test_a_period_ends_whole_once_seven_years_and_the_lifetime_have_passed(ledger: Ledger) -> None:
    old = await fill(ledger, 13, refusals=4)
    seal(ledger, now=NOW)
    young = await fill(ledger, 5)
    seal(ledger, now=NOW + YEAR)
    assert end(ledger, NOW + 7 * YEAR) == []
    assert [(done.chain, done.entries) for done in end(ledger, NOW + 8 * YEAR)] == [(0, 13), (1, 4)]
    assert ledger.read_now(old[0]) == []
    assert len(ledger.read_now(young[0])) == 1
    report = verified(ledger)
    assert report.findings == ()
    assert (report.entries, report.ended) == (5, 17)
    # The chain goes on after its tombstone.
    await fill(ledger, 3, refusals=2)
    seal(ledger, now=NOW + 8 * YEAR)
    assert verified(ledger).findings == ()
    assert end(ledger, NOW + 8 * YEAR) == []


async def test_a_chain_that_ended_whole_goes_on_where_it_was_after_a_restart(tmp_path: Path, url: str | None) -> None:
    ledger = open_ledger(tmp_path, url)
    await fill(ledger, 6)
    seal(ledger, now=NOW)
    end(ledger, NOW + 9 * YEAR)
    ledger.close()
    ledger = open_ledger(tmp_path, url)
    stored = await ledger.append(a_record(notice=await ledger.notice(b"We count visits if you agree.", "en", 4)))
    assert stored.sequence == 6
    assert verified(ledger).findings == ()
    ledger.close()


async def test_proofs_outlive_the_end_of_older_entries(ledger: Ledger, bare_python: Path) -> None:
    ended = await fill(ledger, 13)
    seal(ledger, now=NOW)
    kept = await fill(ledger, 9)
    second = seal(ledger, now=NOW + YEAR)
    await fill(ledger, 4)
    seal(ledger, now=NOW + 2 * YEAR)
    end(ledger, NOW + 8 * YEAR)
    public = signing_key(ledger.data_dir).public
    for document in (inclusion_proof(ledger, kept[3]), consistency_proof(ledger, second.head.number)):
        assert checked(bare_python, canonical(document), public) == (0, "genuine\n")
    with pytest.raises(NothingToProve, match="no such record"):
        inclusion_proof(ledger, ended[0])


async def test_entries_end_with_their_subject_keys(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    record = a_record()
    key = new_key(record.record_id)
    await ledger.append(a_record(record_id=record.record_id, subject=sealed(key, "visitor:x")), key=key)
    seal(ledger, now=NOW)
    end(ledger, NOW + 8 * YEAR)
    assert ledger.key_of(record.record_id) is None
    assert all(key.key not in file.read_bytes() for file in (tmp_path / "ledger-keys").iterdir())
    ledger.close()


async def test_a_consent_that_still_stands_is_carried_over_and_a_withdrawn_one_is_not(
    tmp_path: Path, url: str | None
) -> None:
    async with services_in(tmp_path, url) as services:
        scope = a_scope(services)
        first = await record_consent(scope, purpose="publish", given=True, text="Publish?", subject="member:1")
        await record_consent(scope, purpose="publish", given=True, text="Publish?", subject="member:2")
        await record_consent(scope, purpose="publish", given=False, text="Publish?", subject="member:2")
        seal(services.ledger, now=NOW)
        (done,) = await asyncio.to_thread(end, services.ledger, NOW + 8 * YEAR)
        assert (done.entries, done.carried_over) == (3, 1)
        standing = await consent_of(scope, subject="member:1", purpose="publish")
        assert standing is not None
        assert (standing.at, standing.method) == (first.at, "retention")
        assert standing.reason == "carried over from consents/0#0"
        assert services.ledger.subject_of(standing) == "member:1"
        assert await consent_of(scope, subject="member:2", purpose="publish") is None
        assert services.ledger.records_of("member:2") == {}
        assert verified(services.ledger).findings == ()


async def test_a_head_is_made_once_a_day_and_only_for_something_new(ledger: Ledger) -> None:
    assert seal_if_due(ledger, now=NOW) is None
    await fill(ledger, 3)
    assert seal_if_due(ledger, now=NOW) is not None
    await fill(ledger, 1)
    assert seal_if_due(ledger, now=NOW) is None
    assert seal_if_due(ledger, now=NOW + 86_400) is not None
    assert seal_if_due(ledger, now=NOW + 2 * 86_400) is None
    assert verified(ledger).heads == 2


async def test_disclosures_are_a_log_of_their_own(ledger: Ledger) -> None:
    await asyncio.to_thread(ledger.append_disclosure, {"recipient": "Insights Ltd", "release": "day:2026-11-20"})
    await asyncio.to_thread(ledger.append_disclosure, {"recipient": "Insights Ltd", "release": "day:2026-11-21"})
    assert [entry["release"] for entry in ledger.disclosures()] == ["day:2026-11-20", "day:2026-11-21"]
    seal(ledger)
    assert verified(ledger).findings == ()
