"""Consent at a form, double opt-in, and objections that no import overrides."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from consent_middleware import ConsentMiddleware, optin
from consent_middleware.forms import ConsentField, TextChanged, consent_of, record_consent
from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.heads import seal
from consent_middleware.ledger.record import decode_record
from consent_middleware.optin import BadLink, DoubleOptIn
from consent_middleware.services import Services
from consent_middleware.suppression import MARKETING, SuppressionList
from tests.ledger.parts import POLICY, SECRETS, a_scope, services_in
from tests.ledger.test_deciding import stored_bytes
from tests.ledger.test_verifying import checked

pytestmark = pytest.mark.anyio

PUBLISH = "Publish my name and photograph in the public directory of members."


async def test_a_consent_at_a_form_is_kept_with_its_text_and_found_again_by_subject(
    tmp_path: Path, url: str | None
) -> None:
    async with services_in(tmp_path, url) as services:
        scope = a_scope(services)
        record = await record_consent(
            scope,
            purpose="share-with-insurers",
            given=True,
            text=PUBLISH,
            subject="member:42",
            recipients=("Alpha Insurance plc", "Beta Mutual"),
            version=7,
        )
        assert record.revision == 7
        assert (record.event, record.until, record.recipients) == ("given", 0, ("Alpha Insurance plc", "Beta Mutual"))
        assert await services.ledger.text_of_notice(record.notice) == PUBLISH.encode()
        assert await consent_of(scope, subject="member:42", purpose="share-with-insurers") == record
        assert await consent_of(scope, subject="member:43", purpose="share-with-insurers") is None
        assert await consent_of(scope, subject="member:42", purpose="newsletter") is None
        assert services.ledger.subject_of(record) == "member:42"


async def test_a_form_that_takes_it_back_appends_to_the_same_record(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        scope = a_scope(services)
        events, ids = [], set()
        for given in (True, True, False, True):
            record = await record_consent(scope, purpose="publish", given=given, text=PUBLISH, subject="member:42")
            events.append(record.event)
            ids.add(record.record_id)
        assert events == ["given", "renewed", "withdrawn", "given"]
        assert len(ids) == 1
        assert (await consent_of(scope, subject="member:42", purpose="publish")) is not None


async def test_the_last_word_counts_whatever_the_clocks_of_the_hosts_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    async with services_in(tmp_path) as services:
        scope = a_scope(services)
        said = {"purpose": "publish", "text": PUBLISH, "subject": "member:42"}
        monkeypatch.setattr("consent_middleware.forms.time.time", lambda: now + 90)
        await record_consent(scope, given=True, **said)
        monkeypatch.setattr("consent_middleware.forms.time.time", lambda: now)
        withdrawn = await record_consent(scope, given=False, **said)
        assert withdrawn.event == "withdrawn"
        assert await consent_of(scope, subject="member:42", purpose="publish") is None
        history = await services.ledger.read(withdrawn.record_id)
        assert [entry.event for entry in history] == ["given", "withdrawn"]


async def test_a_consent_for_a_time_ends_by_itself(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        scope = a_scope(services)
        record = await record_consent(
            scope, purpose="publish", given=True, text=PUBLISH, subject="member:42", valid_days=365
        )
        assert await consent_of(scope, subject="member:42", purpose="publish", now=record.until - 1) == record
        assert await consent_of(scope, subject="member:42", purpose="publish", now=record.until + 1) is None


async def test_erasing_a_subject_keeps_a_proof_that_counts_and_leads_to_nobody(tmp_path: Path, url: str | None) -> None:
    async with services_in(tmp_path, url) as services:
        scope = a_scope(services)
        record = await record_consent(scope, purpose="publish", given=True, text=PUBLISH, subject="member:42")
        seal(services.ledger)
        assert services.ledger.forget(record.record_id)
        assert services.ledger.subject_of(record) is None
        assert services.ledger.records_of("member:42") == {}
        assert (await services.ledger.read(record.record_id)) == [record]
        assert checked(services.ledger).sound
        if url is None:
            assert b"member:42" not in stored_bytes(tmp_path)
            files = (tmp_path / "ledger-keys").iterdir()
            assert not any(record.record_id.encode() in file.read_bytes() for file in files)


async def test_an_empty_text_subject_or_purpose_is_refused(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        good = {"purpose": "publish", "given": True, "text": PUBLISH, "subject": "member:42"}
        for wrong in ({"text": " "}, {"subject": ""}, {"purpose": ""}, {"method": "telepathy"}):
            with pytest.raises(ValueError, match=r"needs the text|no method"):
                await record_consent(a_scope(services), **{**good, **wrong})  # type: ignore[arg-type]  # wrong on purpose


def a_site(services: Services, field: ConsentField) -> httpx.AsyncClient:
    """A Starlette site with a form, as the middleware would hand its scope on."""

    async def form(request: Request) -> PlainTextResponse:
        if request.method == "GET":
            return PlainTextResponse(field.html())
        try:
            record = await field.record(request, dict(await request.form()), subject="member:42")
        except TextChanged as error:
            return PlainTextResponse(str(error), 409)
        return PlainTextResponse(record.event)

    routes = [
        Route("/form", form, methods=["GET", "POST"]),
        Route("/confirm", optin.confirmation, methods=["GET", "POST"]),
    ]
    inner = Starlette(routes=routes)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ours = a_scope(services)
        await inner({**scope, "consent": ours["consent"], "consent.services": services}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://law.example")


async def test_the_form_helper_is_unticked_and_records_what_was_answered(tmp_path: Path) -> None:
    field = ConsentField("publish", purpose="publish", text="Publish <my> name & photograph.")
    async with services_in(tmp_path) as services, a_site(services, field) as site:
        html = (await site.get("/form")).text
        assert "checked" not in html
        assert "Publish &lt;my&gt; name &amp; photograph." in html
        hidden = dict(re.findall(r'name="(publish-text)" value="(\w+)"', html))
        assert (await site.post("/form", data={**hidden, "publish": "yes"})).text == "given"
        assert (await site.post("/form", data=hidden)).text == "withdrawn"
        stale = await site.post("/form", data={"publish": "yes", "publish-text": "0" * 64})
        assert stale.status_code == 409


async def test_a_subscription_counts_once_the_address_itself_confirmed_it(tmp_path: Path, url: str | None) -> None:
    field = ConsentField("x", purpose="x", text="x")
    async with services_in(tmp_path, url) as services, a_site(services, field) as site:
        link = await DoubleOptIn(services.ledger, POLICY, SECRETS).link(
            "https://law.example/confirm", " Ada@Example.COM ", text="Send me the newsletter."
        )
        assert await consent_of(a_scope(services), subject="email:ada@example.com", purpose=MARKETING) is None
        token = parse_qs(urlsplit(link).query)["token"][0]
        # A mail scanner opens the link, which confirms nothing.
        opened = await site.get("/confirm", params={"token": token})
        assert '<form method="post">' in opened.text
        assert await consent_of(a_scope(services), subject="email:ada@example.com", purpose=MARKETING) is None
        assert (await site.post("/confirm", data={"token": token})).status_code == 200
        record = await consent_of(a_scope(services), subject="email:ada@example.com", purpose=MARKETING)
        assert record is not None
        assert record.method == "email"
        assert await services.ledger.text_of_notice(record.notice) == b"Send me the newsletter."


async def test_links_that_are_old_bent_or_of_another_key_confirm_nothing(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        opt_in = DoubleOptIn(services.ledger, POLICY, SECRETS, valid_hours=-1)
        link = await opt_in.link("https://law.example/c", "ada@example.com", text="Newsletter?")
        token = parse_qs(urlsplit(link).query)["token"][0]
        with pytest.raises(BadLink) as expired:
            await opt_in.confirm(token)
        assert expired.value.reason == "expired"
        with pytest.raises(BadLink) as bent:
            await DoubleOptIn(services.ledger, POLICY, SECRETS).confirm(token[:-2] + "xx")
        assert bent.value.reason == "tampered"
        with pytest.raises(BadLink):
            await DoubleOptIn(services.ledger, POLICY, ["another secret, of somebody else"]).confirm(token)


async def test_an_objection_to_marketing_holds_against_every_later_import(tmp_path: Path, url: str | None) -> None:
    async with services_in(tmp_path, url) as services:
        listed = SuppressionList(services.ledger, POLICY)
        record = await listed.note("Ada@Example.com")
        assert record.event == "objected"
        imported = ["bob@example.com", "ADA@example.COM", "carl@exämple.de"]
        assert await listed.allowed(imported) == ["bob@example.com", "carl@exämple.de"]
        assert await listed.allowed(["ada@example.com"], purpose="surveys") == ["ada@example.com"]
        # Erasing the person does not lift it, and the list holds no address.
        services.ledger.forget(record.record_id)
        assert await listed.allowed(["ada@example.com"]) == []
        if url is None:
            assert b"ada@" not in stored_bytes(tmp_path).lower()


async def test_an_objection_that_somebody_removes_from_the_list_is_missed_by_name(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        await SuppressionList(services.ledger, POLICY).note("ada@example.com")
        assert checked(services.ledger).sound
        with sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite3") as intruder:
            intruder.executescript("DROP TRIGGER suppressions_no_delete; DELETE FROM suppressions;")
        (finding,) = checked(services.ledger).findings
        assert str(finding) == "consents/0#0: its objection was removed from the suppression list"


async def test_only_a_later_confirmation_by_the_address_lifts_its_objection(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        listed, opt_in = SuppressionList(services.ledger, POLICY), DoubleOptIn(services.ledger, POLICY, SECRETS)
        before = await opt_in.link("https://law.example/c", "ada@example.com", text="Newsletter?")
        await listed.note("ada@example.com")
        with pytest.raises(BadLink) as refused:
            await opt_in.confirm(parse_qs(urlsplit(before).query)["token"][0])
        assert refused.value.reason == "objected"
        assert await listed.allowed(["ada@example.com"]) == []
        # The objection lies in the past now, as another day would do.
        await services.ledger.append_all(
            (), suppressions=({**listed.lifted("ada@example.com"), "objected": 1, "at": 1_000},)
        )
        after = await opt_in.link("https://law.example/c", "ada@example.com", text="Newsletter?")
        await opt_in.confirm(parse_qs(urlsplit(after).query)["token"][0])
        assert await listed.allowed(["ada@example.com"]) == ["ada@example.com"]


async def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        for wrong in ("ada", "@example.com", "ada@", ""):
            with pytest.raises(ValueError, match="not an e-mail address"):
                await SuppressionList(services.ledger, POLICY).note(wrong)


async def test_a_visitor_who_erases_their_data_takes_the_subject_key_along(tmp_path: Path) -> None:
    site = ConsentMiddleware(Starlette(), POLICY, tmp_path, SECRETS)
    transport = httpx.ASGITransport(site)
    own = {"origin": "https://law.example", "accept": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="https://law.example", headers=own) as browser:
        await browser.post("/_consent/", data={"choice": "accept"})
        ledger = open_ledger(tmp_path)
        ((_, _, _, body, _),) = ledger.reader.query("chain_entries", {"first": 0, "beyond": 1 << 40})
        record = decode_record(body)
        assert (ledger.subject_of(record) or "").startswith("visitor:")
        answer = await browser.post("/_consent/data/erase")
        assert answer.status_code == 202, answer.text
        assert ledger.subject_of(record) is None
        assert ledger.read_now(record.record_id) == [record]
        ledger.close()
