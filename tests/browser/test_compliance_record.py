"""Rows 15 to 21 and 30 of docs/compliance.md: what is kept of a choice, for how long, and who is asked again."""

from __future__ import annotations

import datetime as dt
import hashlib
import sqlite3
import time
from typing import Any

import pytest

from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.record import ConsentRecord
from consent_middleware.policy import PrivacyPolicy
from tests.browser.helping import choose, cookie_names

LEDGER = "ledger/ledger.sqlite3"


def receipt_id(page: Any, site: Any) -> str:
    """The record id of the page's visitor, from the receipt."""
    document = page.request.get(site.url + "/_consent/receipt").json()
    found = [value for value in flatten(document) if isinstance(value, str) and len(value) == 22]
    return str(found[0])


def flatten(document: Any) -> list[Any]:
    if isinstance(document, dict):
        return [leaf for value in document.values() for leaf in flatten(value)]
    if isinstance(document, list):
        return [leaf for value in document for leaf in flatten(value)]
    return [document.removeprefix("urn:consent:") if isinstance(document, str) else document]


def history(site: Any, record_id: str) -> list[ConsentRecord]:
    ledger = open_ledger(site.data_dir, read_only=True)
    try:
        return ledger.read_now(record_id)
    finally:
        ledger.close()


def asks(page: Any, url: str) -> bool:
    page.goto(url + "/", wait_until="networkidle")
    return page.locator(".consent-banner:visible").count() > 0


def test_row_15_a_new_purpose_asks_again_and_a_typo_does_not(run_site: Any, site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    choose(page, "accept")
    assert not asks(page, site.url)
    typo = run_site(lambda text: text.replace("which pages are useful", "which pages are usefull"), like=site)
    assert not asks(page, typo.url)
    further = '[[purpose]]\nid = "video"\ntitle = "Films"\ndescription = "Shows films."\n\n[[cookie]]'
    new_purpose = run_site(lambda text: text.replace("[[cookie]]", further, 1), like=site)
    assert asks(page, new_purpose.url)
    assert not page.request.get(new_purpose.url + "/_consent/state").json()["purposes"]["analytics"]
    assert asks(page, run_site(lambda text: text.replace("revision = 4", "revision = 5", 1), like=site).url)


def test_row_16_yes_and_no_are_kept_equally_long(site: Any, new_context: Any) -> None:
    lasting = {}
    for choice in ("accept", "reject"):
        page = new_context().new_page()
        page.goto(site.url + "/")
        choose(page, choice)
        (cookie,) = [c for c in page.context.cookies() if c["name"].endswith("consent")]
        lasting[choice] = (cookie["expires"] - time.time()) / 86400
        assert not asks(page, site.url)
    assert lasting["accept"] == pytest.approx(lasting["reject"], abs=1.01)
    assert lasting["accept"] == pytest.approx(site.policy.consent.lifetime_days, abs=1.01)


def test_row_17_the_record_holds_who_when_what_how_and_what_was_shown(site: Any, page: Any) -> None:
    before = time.time()
    page.goto(site.url + "/")
    banner_words = page.locator("#consent-title").inner_text()
    choose(page, "accept")
    (entry,) = history(site, receipt_id(page, site))
    assert entry.event == "given"
    assert before - 1 <= entry.at <= time.time() + 1
    assert entry.granted == site.policy.optional_purposes
    assert (entry.method, entry.language, entry.revision) == ("banner", "en", 4)
    assert entry.controller
    assert entry.subject  # encrypted under a key that lies elsewhere
    shown = page.request.get(f"{site.url}/_consent/notice/{entry.notice}")
    assert hashlib.sha256(shown.body()).hexdigest() == entry.notice
    assert banner_words in shown.text()


def test_row_18_earlier_texts_stay_retrievable_by_their_hash(run_site: Any, site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    choose(page, "accept")
    (entry,) = history(site, receipt_id(page, site))
    later = run_site(lambda text: text.replace('title.en = "Statistics"', 'title.en = "Counting"'), like=site)
    shown = page.request.get(f"{later.url}/_consent/notice/{entry.notice}")
    assert shown.ok
    assert "Statistics" in shown.text()


def test_row_19_withdrawal_appends_and_nothing_is_changed(site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    choose(page, "accept")
    record_id = receipt_id(page, site)
    (given,) = history(site, record_id)
    page.goto(site.url + "/_consent/")
    choose(page, "reject")
    first, second = history(site, record_id)
    assert first == given
    assert second.event == "withdrawn"
    database = sqlite3.connect(site.data_dir / LEDGER)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    entries = next(name for name in tables if "entr" in name)
    for attempt in (f"DELETE FROM {entries}", f"UPDATE {entries} SET rowid = rowid + 1"):
        with pytest.raises(sqlite3.DatabaseError):
            database.execute(attempt)
    database.close()


def test_row_20_no_address_and_no_user_agent_in_the_proof(run_site: Any, new_context: Any) -> None:
    behind_proxy = run_site(lambda text: text.replace("[site]\n", '[site]\ntrusted_proxies = ["127.0.0.1"]\n'))
    context = new_context(
        user_agent="Mozilla/5.0 (Unmistakable; rv:1.0)", extra_http_headers={"x-forwarded-for": "203.0.113.77"}
    )
    page = context.new_page()
    page.goto(behind_proxy.url + "/")
    choose(page, "accept")
    page.goto(behind_proxy.url + "/_consent/")
    choose(page, "reject")
    proof = b"".join(path.read_bytes() for path in (behind_proxy.data_dir / "ledger").rglob("*") if path.is_file())
    assert b"withdrawn" in proof
    assert b"203.0.113" not in proof
    assert b"Unmistakable" not in proof


def test_row_21_every_necessary_cookie_has_a_written_reason(site: Any, page: Any) -> None:
    necessary = [c for c in site.policy.cookies if c.purpose in site.policy.required_purposes]
    assert necessary
    page.goto(site.url + "/_consent/cookies")
    text = page.locator("main").inner_text()
    for cookie in necessary:
        assert PrivacyPolicy.text(cookie.description, "en") in text
    silent = site.policy.source.replace("Keeps your place in the enquiry and application forms", "")
    silent = silent.replace(" and protects them against forgery.", "")
    assert any("written reason" in warning for warning in PrivacyPolicy.parse(silent).warnings)


def test_row_30_changes_are_dated_kept_and_announced(run_site: Any, site: Any, page: Any, new_context: Any) -> None:
    page.goto(site.url + "/_consent/policy")
    text = page.locator("main").inner_text()
    assert "20 November 2026" in text
    for revision in site.policy.history:
        assert PrivacyPolicy.text(revision.summary, "en") in text
    changed = run_site(
        lambda text: text.replace("revision = 4", "revision = 5", 1).replace(
            "updated = 2026-11-20", f"updated = {dt.date.today().isoformat()}"
        )
    )
    visitor = new_context().new_page()
    visitor.goto(changed.url + "/")
    assert "Policy updated" in visitor.locator("#consent").inner_text()
    assert cookie_names(visitor.context) == {"lg_session"}
