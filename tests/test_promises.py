"""Every sentence that the example publishes is in docs/promises.md, with a test that exists; the site's part too."""

from __future__ import annotations

import ast
import datetime as dt
import html
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from analytics import retention
from consent_middleware import ConsentMiddleware
from consent_middleware.ledger import open_ledger
from examples.law_group import rights as site_rights
from examples.law_group.records import SiteRecords
from examples.law_group.site import LawGroupSite
from tests.pages.sites import KEYS, law_group
from tests.publishing import published_sentences

ROOT = Path(__file__).resolve().parent.parent
PROMISES = ROOT / "docs" / "promises.md"
ROW = re.compile(r"^\| (?P<sentence>.+) \| (?P<how>kept|said) \| (?P<tests>.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def rows() -> dict[str, str]:
    """Sentence -> its links."""
    found = ROW.finditer(PROMISES.read_text(encoding="utf-8"))
    return {html.unescape(row["sentence"]): row["tests"] for row in found}


def test_every_published_sentence_is_linked_to_the_test_that_keeps_it(tmp_path: Path) -> None:
    published = published_sentences(tmp_path)
    linked = rows()
    assert [sentence for sentence in published if sentence not in linked] == [], "published, and not in promises.md"
    assert [sentence for sentence in linked if sentence not in published] == [], "in promises.md, and not published"


def test_every_linked_test_exists() -> None:
    missing = []
    for sentence, links in rows().items():
        tests = LINK.findall(links)
        assert tests, f"no test: {sentence}"
        assert LINK.sub("", links).strip(", ") == "", f"not a link to a test: {sentence}: {links}"
        missing += [f"{path}: {name}" for name, path in tests if name not in functions(ROOT / path)]
    assert missing == []


def functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteRecords:
    found = SiteRecords(tmp_path / "site" / "records.sqlite3")
    monkeypatch.setattr(site_rights, "records", found)
    return found


@pytest.fixture
def visitor(tmp_path: Path, records: SiteRecords) -> TestClient:
    """Somebody at the example's own site, behind its middleware."""
    site = LawGroupSite(records, "http://127.0.0.1:8001").application()
    app = ConsentMiddleware(site, law_group(), tmp_path, secret_keys=KEYS)
    return TestClient(app, base_url="https://testserver", follow_redirects=False)


def columns(records: SiteRecords, table: str) -> set[str]:
    records.rows_about(table, "")
    with sqlite3.connect(records.path) as db:
        return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def test_the_sites_tables_hold_what_the_policy_names(records: SiteRecords) -> None:
    """Nothing is kept of an enquiry or of a member in the directory that the policy does not name."""
    ours = {"id", "restricted"}
    assert columns(records, "enquiries") - ours == {"email", "name", "subject", "message", "received"}
    members = columns(records, "members") - ours
    assert members == {"slug", "name", "email", "practice", "town", "joined", "published", "marketing"}


def test_an_enquiry_needs_an_address(visitor: TestClient, records: SiteRecords) -> None:
    assert visitor.post("/enquiry", data={"name": "A", "message": "words"}).status_code == 422
    assert records.open_enquiries() == []
    visitor.post("/enquiry", data={"name": "A", "email": "a@b.example", "message": "words"})
    assert [row["email"] for row in records.open_enquiries()] == ["a@b.example"]


def test_membership_needs_a_name_and_an_address(visitor: TestClient, records: SiteRecords) -> None:
    assert visitor.post("/join", data={"practice": "P", "town": "T"}).status_code == 422
    assert records.rows_about("members", "") == []


def test_the_newsletter_needs_a_tick(visitor: TestClient, records: SiteRecords) -> None:
    assert visitor.post("/newsletter", data={"email": "a@b.example"}).status_code == 422
    assert records.readers() == []
    visitor.post("/newsletter", data={"email": "a@b.example", "agree": "yes"})
    assert records.readers() == ["a@b.example"]
    assert columns(records, "newsletter") - {"restricted"} == {"email", "since", "consent_record"}


def test_members_are_asked_and_both_answers_are_kept(visitor: TestClient, records: SiteRecords, tmp_path: Path) -> None:
    """On joining, and again on renewal: published with a yes only, and the latest answer counts."""
    joining = {"name": "A B", "email": "a@b.example", "practice": "P", "town": "T"}
    for answers, expected in (({"publish": "yes", "share": "yes"}, True), ({}, False)):
        visitor.post("/join", data={**joining, **answers})
        assert bool(records.rows_about("members", "a@b.example")[0]["published"]) is expected
        number = records.member_number("a@b.example")
        ledger = open_ledger(tmp_path)
        found = ledger.records_of(f"member:{number}")
        last = {purpose: ledger.read_now(record)[-1].purposes[purpose] for purpose, record in found.items()}
        ledger.close()
        assert last == {"publish-profile": expected, "share-with-organisers": expected}


def test_old_enquiries_end_by_the_job(records: SiteRecords, tmp_path: Path) -> None:
    """The clock of the policy file is the one that the service's job hands to the site's own table."""
    (enquiries,) = [data for data in law_group().data if data.provider == "enquiries"]
    assert enquiries.keep_days == 730
    old = records.add_enquiry(email="old@b.example", name="A", subject="", message="words")
    records.add_enquiry(email="new@b.example", name="A", subject="", message="words")
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=800)
    with sqlite3.connect(records.path) as db:
        db.execute("UPDATE enquiries SET received = ? WHERE id = ?", (int(then.timestamp()), old))
    (clock,) = [clock for clock in retention.clocks(law_group()) if clock.what == "the site's own: Enquiries"]
    no_store: Any = None
    at = retention.Place(no_store, tmp_path, law_group(), dt.datetime.now(dt.UTC))
    held = clock.look(at)
    assert held.overdue, held
    assert clock.enforce(at) == 1
    assert [row["email"] for row in records.open_enquiries()] == ["new@b.example"]
