"""A data breach: who was affected in a stretch of time, in every store, and when the 72 hours end."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from analytics.breach import report
from analytics.cli import analytics
from analytics.store import Store, open_store
from consent_middleware.forms import append_consent
from consent_middleware.ledger import open_ledger
from consent_middleware.rights import providers
from consent_middleware.rights.register import Register
from examples.law_group import rights as site_rights
from examples.law_group.records import SiteRecords
from tests.pages.sites import POLICY, law_group
from tests.reports.conftest import insert, row

NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path) as opened:
        yield opened


@pytest.fixture
def held(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two visitors, one of them in the window; an enquiry, a request, a consent at a form."""
    records = SiteRecords(tmp_path / "site" / "records.sqlite3")
    monkeypatch.setattr(site_rights, "records", records)
    tables = {"enquiries": site_rights.Enquiries(), "members": site_rights.Members()}
    monkeypatch.setattr(providers, "_PROVIDERS", tables)
    for visitor, age in ((1, 30), (1, 31), (2, 300)):
        insert(store, [row(visitor, f"{NOW - dt.timedelta(minutes=age):%Y-%m-%d %H:%M:%S}")])
    records.add_enquiry(email="a@b.example", name="A", subject="", message="words")
    Register(tmp_path).open("access", "c@d.example", identity="cookie")
    ledger = open_ledger(tmp_path)
    given = {"purpose": "newsletter", "given": True, "text": "Yes.", "subject": "email:e@f.example"}
    asyncio.run(append_consent(ledger, law_group(), **given))
    ledger.close()
    return tmp_path


def test_everybody_of_the_window_is_found_in_every_store(held: Path, store: Store) -> None:
    ledger = open_ledger(held)
    found = report(store, held, law_group(), ledger, NOW - HOUR, NOW + HOUR, NOW)
    ledger.close()
    affected = {part.store: part for part in found.affected}
    assert (affected["visits"].rows, affected["visits"].people) == (2, 1)
    assert affected["enquiries"].addresses == ("a@b.example",)
    assert affected["requests"].addresses == ("c@d.example",)
    assert affected["consents"].addresses == ("e@f.example",), "an address, to be written to as it stands"
    assert found.tell_by == NOW + dt.timedelta(hours=72)
    assert found.not_asked == ["members"], "a table that can't tell is named, not left out"


def test_a_reference_is_told_by_the_address_that_the_sites_tables_know(
    held: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Members:
        def find(self, subject: str) -> list[dict[str, object]]:
            return []

        def addresses(self) -> list[str]:
            return ["m@members.example"]

        def subjects(self, subject: str) -> list[str]:
            return ["member:42"] if subject == "m@members.example" else []

    monkeypatch.setattr(providers, "_PROVIDERS", {"members": Members()})
    ledger = open_ledger(held)
    for subject in ("member:42", "member:43"):
        given = {"purpose": "newsletter", "given": True, "text": "Yes.", "subject": subject}
        asyncio.run(append_consent(ledger, law_group(), **given))
    Register(held).open("erasure", "visitor with reference abcd", identity="cookie")
    found = report(store, held, law_group(), ledger, NOW - HOUR, NOW + HOUR, NOW)
    ledger.close()
    affected = {part.store: part for part in found.affected}
    assert affected["consents"].addresses == ("e@f.example", "m@members.example")
    assert affected["consents"].references == ("member:43",)
    assert affected["requests"].references == ("visitor with reference abcd",)


def test_the_command_says_whom_no_letter_reaches(held: Path, store: Store) -> None:
    store.close()
    Register(held).open("erasure", "visitor with reference abcd", identity="cookie")
    start = ["breach", "--policy", str(POLICY), "--data-dir", str(held), "--hooks", "none"]
    window = ["--from", f"{NOW - HOUR:%Y-%m-%dT%H:%M}", "--until", f"{NOW + HOUR:%Y-%m-%dT%H:%M}"]
    told = CliRunner().invoke(analytics, [*start, *window]).output
    assert "  write to: c@d.example\n  no address is known of: visitor with reference abcd" in told
    assert "by a public notice" in told
    assert "Art. 34(3)(c)" in told


def test_nobody_of_another_time_is_named(held: Path, store: Store) -> None:
    ledger = open_ledger(held)
    earlier = NOW - 24 * HOUR
    found = report(store, held, law_group(), ledger, earlier, earlier + HOUR, NOW)
    ledger.close()
    assert found.affected == []


def test_the_command_says_by_when_and_whom_to_tell(tmp_path: Path) -> None:
    start = ["breach", "--policy", str(POLICY), "--data-dir", str(tmp_path), "--hooks", "none"]
    window = ["--from", "2026-11-01T10:00", "--until", "2026-11-01T12:00", "--noticed", "2026-11-02T08:00+01:00"]
    text = CliRunner().invoke(analytics, [*start, *window])
    assert text.exit_code == 0, text.output
    assert "by 2026-11-05 07:00 UTC: Information Commissioner" in text.output
    assert "Nothing of that time is held any more." in text.output
    told = json.loads(CliRunner().invoke(analytics, [*start, *window, "--format", "json"]).output)
    assert told["tell_by"].replace("+00:00", "Z") == "2026-11-05T07:00:00Z"
    wrong = CliRunner().invoke(analytics, [*start, "--from", "yesterday", "--until", "2026-11-01"])
    assert wrong.exit_code == 2
