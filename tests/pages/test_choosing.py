"""The preferences page and the posts that record a choice."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from consent_middleware.ledger import open_ledger
from tests.pages.sites import TEXT, browser, law_group, post, state, words

OPTIONAL = law_group().optional_purposes


def chosen(folder: Path) -> list[str]:
    """What the ledger counted of choices; a banner that was shown is none."""
    ledger = open_ledger(folder / "var")
    today = dt.datetime.now(dt.UTC).date()
    try:
        return [count.what for count in ledger.rates(today, today) if count.what != "shown"]
    finally:
        ledger.close()


@pytest.fixture
def visitor(tmp_path: Path) -> TestClient:
    return browser(tmp_path)


@pytest.mark.parametrize(
    ("choice", "ticked", "granted"),
    [
        ("accept", [], OPTIONAL),
        ("reject", ["analytics"], frozenset()),
        ("save", ["analytics"], {"analytics"}),
        ("save", [], frozenset()),
        ("add", ["marketing"], {"marketing"}),
    ],
)
@pytest.mark.parametrize("form", [True, False], ids=["form", "JSON"])
def test_a_post_grants_exactly_what_it_says(
    visitor: TestClient, choice: str, ticked: list[str], granted: frozenset[str], form: bool
) -> None:
    sent: dict[str, Any] = {"choice": choice, "purpose": ticked}
    answer = visitor.post("/_consent/", data=sent) if form else visitor.post("/_consent/", json=sent)
    assert answer.status_code == (303 if form else 200)
    after = state(visitor)
    assert after["decided"]
    assert {purpose for purpose in OPTIONAL if after["purposes"][purpose]} == granted


def test_adding_keeps_what_was_granted_before(visitor: TestClient) -> None:
    post(visitor, "save", purpose="analytics")
    post(visitor, "add", purpose="marketing", source="placeholder")
    assert {purpose for purpose in OPTIONAL if state(visitor)["purposes"][purpose]} == {"analytics", "marketing"}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
    ],
)
def test_a_post_from_elsewhere_changes_nothing(visitor: TestClient, headers: dict[str, str]) -> None:
    if not headers["sec-fetch-site"]:
        del visitor.headers["sec-fetch-site"]
        headers = {"origin": headers["origin"]}
    answer = visitor.post("/_consent/", data={"choice": "accept"}, headers=headers)
    assert answer.status_code == 403
    assert "did not come from this site" in answer.text
    assert "set-cookie" not in answer.headers
    assert not state(visitor)["decided"]


@pytest.mark.parametrize("origin", ["https://testserver", None])
def test_a_post_of_an_older_browser_passes_by_its_origin(visitor: TestClient, origin: str | None) -> None:
    del visitor.headers["sec-fetch-site"]
    visitor.post("/_consent/", data={"choice": "accept"}, headers={"origin": origin} if origin else {})
    assert state(visitor)["decided"]


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/articles?page=2#end", "/articles?page=2#end"),
        ("https://testserver/articles", "/articles"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/%0d%0aset-cookie:x", "/%0d%0aset-cookie:x"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("javascript:alert(1)", "/"),
        ("https://testserver@evil.example/", "/"),
        ("/" + "a" * 3000, "/"),
        ("http://[", "/"),
    ],
)
def test_a_choice_leads_back_to_a_page_of_this_site_only(visitor: TestClient, wanted: str, leads_to: str) -> None:
    visitor.cookies.set("lg_session", "1")  # a browser that keeps cookies
    answer = visitor.post("/_consent/", data={"choice": "reject", "source": "banner", "return": wanted})
    assert answer.headers["location"] == leads_to
    assert "evil" not in answer.headers.get("location", "")


def test_a_browser_without_cookies_is_told_once_and_not_sent_in_circles(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    first = post(visitor, "accept")
    assert first.headers["location"].startswith("/_consent/stored?")
    visitor.cookies.clear()
    told = visitor.get(first.headers["location"])
    assert told.status_code == 200
    assert "does not keep cookies" in told.text
    assert "refusal" in told.text
    assert 'href="/about"' in told.text
    assert not state(visitor)["decided"]


def test_a_browser_with_cookies_goes_on_to_its_page(visitor: TestClient) -> None:
    first = post(visitor, "accept")
    assert visitor.get(first.headers["location"]).headers["location"] == "/about"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"choice=accept&choice=maybe", "application/x-www-form-urlencoded"),
        (b"choice=reject&choice=accept", "application/x-www-form-urlencoded"),
        (b"purpose=analytics", "application/x-www-form-urlencoded"),
        (b"choice=save&purpose=analytics&purpose=no-such-purpose", "application/x-www-form-urlencoded"),
        (b"choice=accept&purpose=no-such-purpose", "application/x-www-form-urlencoded"),
        (b"choice=add&purpose=", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded"),
        (b"a=1&" * 200 + b"choice=accept", "application/x-www-form-urlencoded"),
        (b"choice=accept&pad=" + b"x" * 20_000, "application/x-www-form-urlencoded"),
        (b"choice=accept", "text/plain"),
        (b"choice=accept", "multipart/form-data"),
        (b"{", "application/json"),
        (b'{"choice": 1}', "application/json"),
        (b"[]", "application/json"),
        (b'{"choice": "object-to-all"}', "application/json"),
        (b'{"purpose": ["analytics"]}', "application/json"),
        (b'{"choice": "save", "purpose": ["analytics", "no-such-purpose"]}', "application/json"),
        (b'{"choice": "save", "purpose": "no-such-purpose"}', "application/json"),
        (b'{"choice": "save", "purposes": ["no-such-purpose"]}', "application/json"),
    ],
)
def test_what_is_no_choice_is_refused_and_changes_nothing(
    visitor: TestClient, tmp_path: Path, body: bytes, kind: str
) -> None:
    answer = visitor.post("/_consent/", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    if "form" in kind:
        assert "Nothing was changed." in words(answer.text)
        assert answer.headers["content-type"].startswith("text/html")
    else:
        assert answer.json()["error"]
    assert "set-cookie" not in answer.headers
    assert not state(visitor)["decided"]
    assert chosen(tmp_path) == []


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"choice": "save", "purpose": "analytcs"}, '"analytcs" is no purpose of this site; did you mean "analytics"?'),
        ({"choice": "save", "purpose": "x"}, "the purposes are necessary, preferences, analytics, marketing"),
        ({"choice": "maybe"}, 'choice is one of accept, reject, save, not "maybe"'),
        ({}, "choice is missing; it is one of accept, reject, save"),
        ({"choice": "save", "pad": "x" * 20_000}, "the request is longer than 16384 bytes"),
    ],
)
def test_a_choice_that_cannot_be_read_is_answered_with_the_reason(
    visitor: TestClient, sent: dict[str, str], told: str
) -> None:
    assert told in visitor.post("/_consent/", json=sent).json()["error"]
    page = visitor.post("/_consent/", data={"pad": "", **sent}, headers={"accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-language"]) == (400, "en")
    assert told in words(page.text)
    script = visitor.post("/_consent/", data={"pad": "", **sent}, headers={"accept": "application/json"})
    assert told in script.json()["error"]


def test_a_choice_under_an_older_policy_is_asked_again(visitor: TestClient) -> None:
    for answer in (
        post(visitor, "accept", fingerprint="0" * 16),
        visitor.post("/_consent/", json={"choice": "accept", "fingerprint": "0" * 16}),
    ):
        assert answer.status_code == 409
        assert "choose again" in answer.text
    assert not state(visitor)["decided"]
    post(visitor, "accept", fingerprint=law_group().fingerprint)
    assert state(visitor)["decided"]


def test_without_a_ledger_nothing_is_switched_on_and_the_page_says_so(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    visitor.get("/")
    shutil.rmtree(tmp_path / "var" / "ledger", ignore_errors=True)
    (tmp_path / "var" / "ledger").write_text("a file where the folder should be")
    page = post(visitor, "accept")
    told = visitor.post("/_consent/", json={"choice": "accept"})
    assert (page.status_code, told.status_code) == (503, 503)
    assert "Nothing has been switched on" in page.text
    assert "Nothing has been switched on" in told.json()["error"]
    assert not [value for value in page.headers.get_list("set-cookie") if "consent" in value]
    assert not state(visitor)["decided"]
    assert visitor.get("/_consent/policy").status_code == 200  # the texts need no ledger
    assert visitor.get("/_consent/policy/changes").status_code == 200


def test_the_page_shows_the_present_choice_with_its_date_and_end(visitor: TestClient) -> None:
    assert "You have not chosen yet." in visitor.get("/_consent/").text
    post(visitor, "save", purpose="analytics")
    page = visitor.get("/_consent/").text
    assert "You chose on" in page
    assert "Withdraw all" in page
    assert page.count(" checked>") == 1
    assert 'value="analytics"' in page.partition(" checked>")[0].rpartition("<input")[2]


def test_each_purpose_is_shown_with_its_cookies_vendors_and_lifetime(visitor: TestClient) -> None:
    page = words(visitor.get("/_consent/").text)
    policy = law_group()
    for purpose in policy.purposes:
        assert policy.text(purpose.description, "en") in page
    for cookie in policy.cookies:
        assert cookie.name in page
    for vendor in policy.vendors:
        assert vendor.name in page
    assert page.count("Your yes or no holds for 182 days.") == len(OPTIONAL)


def test_a_withdrawal_hands_out_its_receipt_once_and_leaves_no_number(visitor: TestClient) -> None:
    post(visitor, "accept")
    kept = visitor.get("/_consent/receipt")
    assert kept.status_code == 200
    assert kept.headers["content-type"] == "application/ld+json"
    assert "attachment" in kept.headers["content-disposition"]
    answer = visitor.post("/_consent/", json={"choice": "reject"})
    link = answer.json()["receipt"]
    assert visitor.get("/_consent/receipt").status_code == 404
    assert visitor.get(link).status_code == 200
    assert visitor.get(link[:-2] + "xx").status_code == 404


def test_the_form_of_a_withdrawal_leads_to_its_receipt(visitor: TestClient) -> None:
    post(visitor, "accept")
    page = visitor.get(post(visitor, "reject", source="preferences").headers["location"])
    assert "Your choice is saved." in page.text
    link = page.text.partition('href="/_consent/receipt?')[2].partition('"')[0].replace("&amp;", "&")
    assert visitor.get(f"/_consent/receipt?{link}").status_code == 200


ERASING = "The visits recorded with your consent are being erased."


@pytest.mark.parametrize("kept", [[], ["marketing"]], ids=["all taken back", "statistics taken back"])
def test_whoever_takes_statistics_back_is_told_that_the_visits_are_erased(visitor: TestClient, kept: list[str]) -> None:
    post(visitor, "accept")
    saved = post(visitor, "save", source="preferences", purpose=kept)
    assert ERASING in visitor.get(saved.headers["location"]).text
    post(visitor, "accept")
    answer = visitor.post("/_consent/", json={"choice": "save", "purpose": kept, "language": "de"})
    assert answer.json()["message"].endswith(
        "Die mit Ihrer Einwilligung aufgezeichneten Besuche werden jetzt gelöscht."
    )


def test_nobody_is_told_of_an_erasure_that_does_not_happen(visitor: TestClient) -> None:
    post(visitor, "accept")
    saved = post(visitor, "save", source="preferences", purpose=["analytics"])  # statistics stay
    assert ERASING not in visitor.get(saved.headers["location"]).text
    assert ERASING not in visitor.get("/_consent/?saved=erased").text  # a link that somebody made up


def test_an_address_of_ours_that_leads_nowhere_is_a_page_with_a_way_back(visitor: TestClient) -> None:
    page = visitor.get("/_consent/polcy?lang=de", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "Diese Seite gibt es nicht" in words(page.text)
    assert 'href="/"' in page.text
    assert visitor.get("/_consent/polcy", headers={"accept": "*/*"}).text == "Not Found"


@pytest.mark.parametrize("accepts", ["text/html", "application/json"])
def test_there_is_no_receipt_without_a_record_and_the_answer_says_why(visitor: TestClient, accepts: str) -> None:
    post(visitor, "reject")
    answer = visitor.get("/_consent/receipt", headers={"accept": accepts})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith(accepts)
    assert "kept without any number that leads to you" in answer.text


def test_gpc_is_named_and_a_conflict_with_a_yes_is_shown(tmp_path: Path) -> None:
    visitor = browser(tmp_path, **{"sec-gpc": "1"})
    assert "We follow it." in visitor.get("/_consent/").text
    post(visitor, "accept")
    page = visitor.get("/_consent/").text
    assert "You said yes here." in page
    assert visitor.get("/.well-known/gpc.json").json() == {"gpc": True, "lastUpdate": "2026-11-20"}


def test_statistics_without_consent_can_be_objected_to_where_the_law_allows_them(tmp_path: Path) -> None:
    plain = browser(tmp_path / "plain")
    assert "Object to statistics" not in plain.get("/_consent/").text
    text = TEXT.replace('default = "opt-in"', 'default = "uk-statistics"')
    visitor = browser(tmp_path / "uk", text)
    assert "Object to statistics" in visitor.get("/_consent/").text
    assert "you can object at any time" in visitor.get("/").text
    post(visitor, "object", source="preferences")
    assert "You have objected to statistics." in visitor.get("/_consent/").text
    assert not state(visitor)["purposes"]["analytics"]


def test_an_objection_keeps_the_other_purposes(tmp_path: Path) -> None:
    visitor = browser(tmp_path, TEXT.replace('default = "opt-in"', 'default = "uk-statistics"'))
    post(visitor, "accept")
    post(visitor, "object", source="preferences")
    assert {p for p in OPTIONAL if state(visitor)["purposes"][p]} == OPTIONAL - {"analytics"}


@pytest.mark.parametrize("path", ["/_consent/", "/_consent/state", "/_consent/data", "/_consent/receipt"])
def test_what_is_about_one_visitor_is_kept_in_no_cache(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/_consent/", "/_consent/policy", "/_consent/cookies", "/_consent/data"])
def test_our_own_pages_forbid_everything_that_is_inline(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    rules = answer.headers["content-security-policy"]
    assert "unsafe" not in rules
    assert "require-trusted-types-for 'script'" in rules
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert " onclick" not in answer.text
    assert "<script>" not in answer.text


def test_text_of_the_policy_file_is_never_markup(tmp_path: Path) -> None:
    text = TEXT.replace('title.en = "Statistics"', "title.en = '<img src=x onerror=alert(1)>\"&amp;'", 1)
    visitor = browser(tmp_path, text)
    for path in ("/", "/_consent/", "/_consent/policy", "/_consent/cookies", "/_consent/policy?fragment=1"):
        assert "<img src=x" not in visitor.get(path).text
