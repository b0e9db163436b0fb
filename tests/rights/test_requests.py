"""The three ways into the register, how people are recognised, and what they are told."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from consent_middleware import ConsentMiddleware, rights
from consent_middleware.cli import consent
from consent_middleware.ledger import open_ledger
from consent_middleware.rights.links import BadLink, RequestLinks
from consent_middleware.rights.register import Register
from consent_middleware.rights.reminders import owed, remind
from consent_middleware.suppression import SuppressionList
from examples.law_group import rights as site_rights
from examples.law_group.records import SiteRecords
from tests.pages.sites import KEYS, TEXT, browser, law_group, post, words

AMARA = "amara@okell-finch.example"
WITHOUT_HOOKS = TEXT.replace('hooks = "examples.law_group.rights"\n', "")


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteRecords:
    """The site's own tables, in the data folder of this test."""
    found = SiteRecords(tmp_path / "var" / "site" / "records.sqlite3")
    monkeypatch.setattr(site_rights, "records", found)
    monkeypatch.setenv("CONSENT_SECRET_KEYS", KEYS[0])
    return found


def command(folder: Path, *arguments: str, text: str = TEXT) -> Result:
    """`consent rights ...` on the data folder of the test's site."""
    path = folder / "privacy.toml"
    path.write_text(text, encoding="utf-8")
    places = ["--policy", str(path), "--data-dir", str(folder / "var")]
    return CliRunner().invoke(consent, ["rights", *arguments, *places], standalone_mode=False)


def code(result: Result) -> int:
    """The exit code that the program would have."""
    if result.exception is not None:
        return int(getattr(result.exception, "exit_code", 1))
    return result.return_value if isinstance(result.return_value, int) else 0


def opened(folder: Path, right: str, subject: str, *more: str) -> str:
    result = command(folder, "open", "--right", right, "--subject", subject, *more)
    found = re.match(r"request (\d+):", result.output)
    assert found, result.output
    return found[1]


def test_an_answer_never_says_nothing_held_when_the_sites_tables_were_not_asked(tmp_path: Path) -> None:
    from consent_middleware.rights import providers

    number = opened(tmp_path, "access", AMARA)
    before, providers._PROVIDERS = providers._PROVIDERS, {}
    try:
        result = command(tmp_path, "answer", number, "-o", str(tmp_path / "a.zip"), text=WITHOUT_HOOKS)
        assert code(result) == 1
        assert "the site's own tables were not asked" in result.output
        assert "--hooks MODULE, $CONSENT_HOOKS, or hooks in [site]" in result.output
        assert "stays open" in result.stderr
        assert Register(tmp_path / "var").read(int(number)).closed is None
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            assert json.loads(archive.read("data.json"))["complete"] is False
            assert b"not complete" in archive.read("read-me.html")
    finally:
        providers._PROVIDERS = before
    result = command(tmp_path, "answer", number, "-o", str(tmp_path / "b.zip"))  # hooks from the policy file
    assert code(result) == 0
    assert "1 row in members" in result.output
    assert Register(tmp_path / "var").read(int(number)).closed is not None


def test_a_site_that_keeps_nothing_says_so_once(tmp_path: Path) -> None:
    number = opened(tmp_path, "access", "nobody@person.example")
    result = command(tmp_path, "answer", number, "--hooks", "none", "-o", str(tmp_path / "a.zip"), text=WITHOUT_HOOKS)
    assert code(result) == 0
    assert "nothing held in: consents" in result.output


def test_an_operator_notes_what_they_recognised_somebody_by(tmp_path: Path) -> None:
    number = opened(tmp_path, "complaint", AMARA, "--identity", "called back on the number we have")
    seen = Register(tmp_path / "var").read(int(number)).identity
    assert seen == "the operator's word: called back on the number we have"


def confirmed(folder: Path, right: str, address: str = AMARA) -> Any:
    """Somebody opens the link of their e-mail, sees a button, and presses it."""
    link = command(folder, "link", "--right", right, "--address", address, "--site", "https://testserver")
    assert code(link) == 0, link.output
    reader = browser(folder)
    page = reader.get(link.output.strip())
    assert page.status_code == 200
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    return reader.post("/_consent/data/confirm", data={"token": token[1]})


def test_a_link_from_an_email_shows_whose_address_it_is_and_brings_the_copy(tmp_path: Path) -> None:
    answer = confirmed(tmp_path, "access")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        held = json.loads(archive.read("data.json"))["held"]
        assert held["members"][0]["email"] == AMARA
        assert {"data.json", "members.csv", "read-me.html"} <= set(archive.namelist())
    (request,) = Register(tmp_path / "var").all()
    assert (request.identity, request.subject, request.state(dt.date.today())) == ("e-mail link", AMARA, "answered")


def test_a_link_opens_what_somebody_has_to_look_at(tmp_path: Path) -> None:
    answer = confirmed(tmp_path, "erasure")
    assert answer.status_code == 303
    (request,) = Register(tmp_path / "var").all()
    assert (request.right, request.closed) == ("erasure", None)
    assert site_rights.records.rows_about("members", AMARA) != []


def test_a_link_leads_to_a_host_that_the_policy_names(tmp_path: Path) -> None:
    text = TEXT.replace("hosts = []", 'hosts = ["www.larkfield.example", "*.larkfield.test", "localhost:8001"]')
    ask = ["link", "--right", "access", "--address", AMARA, "--site"]
    for site in ("https://larkfield.example/", "https://a.larkfield.test", "http://localhost:8001"):
        made = command(tmp_path, *ask, site, text=text)
        assert made.output.startswith(f"{site.rstrip('/')}/_consent/data/confirm?token="), made.exception
    for site in ("https://larkfeild.example", "https://larkfield.example.evil.test", "http://localhost:8002"):
        refused = command(tmp_path, *ask, site, text=text)
        assert code(refused) == 2
        assert "is none of the site's hosts; the policy file names www.larkfield.example, " in str(refused.exception)
    for site in ("larkfield.example", "ftp://larkfield.example", "https://[", "https://"):
        assert "is not an address" in str(command(tmp_path, *ask, site, text=text).exception)


def test_a_damaged_link_opens_nothing(tmp_path: Path) -> None:
    reader = browser(tmp_path)
    assert reader.get("/_consent/data/confirm?token=x").status_code == 400
    assert reader.post("/_consent/data/confirm", data={"token": "x"}).status_code == 400
    old = RequestLinks(KEYS, valid_hours=-1)
    token = old.link("https://x", AMARA, "access", nonce="n").partition("=")[2]
    with pytest.raises(BadLink, match="expired"):
        old.read(token)
    assert Register(tmp_path / "var").all() == []


def test_an_end_to_marketing_needs_no_cookie_and_holds_at_once(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    done = visitor.post("/_consent/data/stop-marketing", data={"address": "Reader@Letters.example"})
    assert done.status_code == 303
    assert "Your request has arrived" in words(visitor.get(done.headers["location"]).text)
    (request,) = Register(tmp_path / "var").all()
    assert (request.right, request.state(dt.date.today())) == ("marketing-objection", "answered")
    ledger = open_ledger(tmp_path / "var")
    assert SuppressionList(ledger, law_group())._objected_at("reader@letters.example", "direct-marketing")
    ledger.close()
    assert visitor.post("/_consent/data/stop-marketing", data={"address": "no address"}).status_code == 400
    foreign = visitor.post(
        "/_consent/data/stop-marketing", data={"address": AMARA}, headers={"sec-fetch-site": "none "}
    )
    assert foreign.status_code == 403


def test_requests_without_a_cookie_have_a_limit(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    told = [
        visitor.post("/_consent/data/complain", data={"text": f"number {number}"}).status_code for number in range(25)
    ]
    assert told[:20] == [303] * 20
    assert 429 in told
    assert len(Register(tmp_path / "var").all()) < 25


def test_a_complaint_is_a_request_with_a_deadline(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    post(visitor, "accept")
    told = visitor.post(
        "/_consent/data/complain", data={"text": "You wrote to me."}, headers={"accept": "application/json"}
    )
    assert told.status_code == 202
    visitor.post("/_consent/data/complain", data={"text": "You wrote to me."})  # the same click twice
    (request,) = Register(tmp_path / "var").all()
    assert (request.right, request.identity, request.events[0].text) == ("complaint", "cookie", "You wrote to me.")
    assert told.json()["due"] == str(request.due)
    assert visitor.post("/_consent/data/complain", data={"text": " "}).status_code == 400


def test_the_sites_own_code_opens_requests_too(tmp_path: Path) -> None:
    async def ask(request: Request) -> JSONResponse:
        noted = await rights.open_request(request.scope, right="portability", subject="member:1", text="from my page")
        return JSONResponse({"number": noted.number, "due": str(noted.due)})

    site = Starlette(routes=[Route("/mine", ask)])
    app = ConsentMiddleware(site, law_group(), tmp_path / "var", secret_keys=KEYS)
    with TestClient(app, base_url="https://testserver") as client:
        assert client.get("/mine").json()["number"] == 1
    (request,) = Register(tmp_path / "var").all()
    assert (request.identity, request.subject, request.events[0].by) == ("account", "member:1", "site")


def test_a_restricted_row_stays_and_is_not_used(tmp_path: Path, records: SiteRecords) -> None:
    records.add_enquiry(email=AMARA, name="Amara", subject="tax", message="words")
    assert code(command(tmp_path, "answer", opened(tmp_path, "restriction", AMARA))) == 0
    assert records.rows_about("enquiries", AMARA)[0]["message"] == "words"
    assert records.open_enquiries() == []
    assert AMARA not in records.member_addresses()


def test_an_answer_finds_the_consents_under_every_name(tmp_path: Path, records: SiteRecords) -> None:
    """The ledger knows the member by number, the newsletter's reader by address."""
    import asyncio

    from consent_middleware.forms import append_consent

    number = records.member_number(AMARA)
    ledger = open_ledger(tmp_path / "var")
    for purpose, subject in (("publish-profile", f"member:{number}"), ("newsletter", f"email:{AMARA}")):
        given = {"purpose": purpose, "given": True, "text": "Yes.", "subject": subject}
        asyncio.run(append_consent(ledger, law_group(), **given))
    ledger.close()
    command(tmp_path, "answer", opened(tmp_path, "access", AMARA), "-o", str(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        consents = json.loads(archive.read("data.json"))["held"]["consents"]
    assert {row["purpose"] for row in consents} == {"publish-profile", "newsletter"}
    result = command(tmp_path, "answer", opened(tmp_path, "erasure", AMARA))
    assert "the proof of 2 consents leads to nobody any more" in result.output


@pytest.mark.parametrize(
    ("step", "more", "sentence"),
    [
        ("extend", ("--reason", "Many tables."), "We need more time for your request."),
        ("refuse", ("--reason", "A law keeps it."), "We can't do what you asked for."),
        ("refuse-partly", ("--reason", "A law keeps the rest."), "We have done a part"),
        ("hold", ("--reason", "A court asked."), "Your request has to wait"),
    ],
)
def test_a_letter_gives_the_reason_and_the_way_to_complain(
    tmp_path: Path, step: str, more: tuple[str, ...], sentence: str
) -> None:
    number = opened(tmp_path, "erasure", AMARA)
    if step == "extend":
        due = Register(tmp_path / "var").read(int(number)).due + dt.timedelta(days=20)
        more = (*more, "--until", str(due))
    assert code(command(tmp_path, step, number, *more)) == 0
    letter = command(tmp_path, "letter", number).output
    assert sentence in letter
    assert more[1] in letter
    assert "you can complain to a supervisory authority" in letter
    assert "https://ico.org.uk/make-a-complaint/" in letter


def test_a_part_can_be_done_and_the_rest_refused_with_its_reason(tmp_path: Path, records: SiteRecords) -> None:
    number = opened(tmp_path, "erasure", AMARA)
    reason = "The invoices stay for seven years, because tax law says so."
    assert code(command(tmp_path, "answer", number, "--partly", reason)) == 0
    assert records.rows_about("members", AMARA) == []
    assert Register(tmp_path / "var").read(int(number)).state(dt.date.today()) == "partly-refused"
    letter = command(tmp_path, "letter", number).output
    assert "We have done a part of what you asked for" in letter
    assert reason in letter


def test_reminders_come_a_week_before_and_when_the_day_has_passed(tmp_path: Path) -> None:
    register, policy = Register(tmp_path), law_group()
    start = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
    register.open("access", AMARA, identity="cookie", now=start)  # due on 2 April
    given = []
    for day in range(50):
        now = start + dt.timedelta(days=day)
        given += [(now.date().isoformat(), why) for _, why in remind(tmp_path, policy, now=now, environment={})]
    assert given == [("2026-03-26", "due soon"), ("2026-04-03", "overdue")]
    register.step(1, "answered", text="done")
    assert owed(register.read(1), dt.date(2026, 6, 1)) == ""
    assert [event.step for event in register.read(1).events] == ["opened", "reminded", "reminded", "answered"]


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    number = opened(tmp_path, "access", AMARA)
    result = command(tmp_path, "answer", number, "--hooks", "no.such.module")
    assert code(result) == 2
    assert "no.such.module" in str(result.exception)
