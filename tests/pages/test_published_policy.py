"""The policy page, the cookie table and the history: what the file says is what is published."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from consent_middleware.ledger import open_ledger
from consent_middleware.pages import policy_fragment
from consent_middleware.pages.assets import asset
from tests.pages.sites import TEXT, browser, law_group, post, words


@pytest.fixture
def visitor(tmp_path: Path) -> TestClient:
    return browser(tmp_path)


def test_the_policy_says_what_the_file_says(visitor: TestClient) -> None:
    page = words(visitor.get("/_consent/policy").text)
    policy = law_group()
    controller = policy.controller
    for text in (
        controller.name,
        controller.address,
        controller.contact,
        controller.security_contact,
        controller.data_protection_officer,
        controller.registration,
        controller.supervisory_authority,
        controller.complaints_url,
        *(data.name for data in policy.data if isinstance(data.name, str)),
        *(recipient.name for recipient in policy.recipients),
        *(vendor.name for vendor in policy.vendors),
        *(cookie.name for cookie in policy.cookies),
        *(policy.text(line.summary, "en") for line in policy.history),
        "Last updated on 20 November 2026. Revision 4.",
        "epsilon 1, delta 1e-06",
        "35 days",
        "25 months",
        "7 years, counted from the day your choice runs out",
        "3 years, counted from our answer",
        "__Host-consent",
        "__Host-visitor",
    ):
        assert text in page, text


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('without_consent = "counts"', 'without_consent = "nothing"', "nothing is recorded about your visit"),
        ('default = "opt-in"', 'default = "uk-statistics"', "destroyed within 48 hours"),
        ("raw_days = 35", "raw_days = 34", "34 days"),
        ("epsilon = 1.0", "epsilon = 0.5", "epsilon 0.5"),
        ("updated = 2026-11-20", "updated = 2026-11-02", "2 November 2026"),
    ],
)
def test_a_change_of_the_file_changes_the_page(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    assert sentence not in words(browser(tmp_path / "a").get("/_consent/policy").text)
    assert before in TEXT
    text = TEXT.replace(before, after, 1)
    if "uk-statistics" in text:
        text = text.replace('without_consent = "counts"', 'without_consent = "daily-key"')
    changed = browser(tmp_path / "b", text)
    assert sentence in words(changed.get("/_consent/policy").text)


def test_the_policy_comes_as_json_and_markdown_too(visitor: TestClient) -> None:
    document = visitor.get("/_consent/policy.json").json()
    assert (document["revision"], document["updated"], document["language"]) == (4, "2026-11-20", "en")
    anchors = [part["anchor"] for part in document["parts"]]
    assert anchors == re.findall(r'<h2 id="([a-z]+)">', visitor.get("/_consent/policy").text)
    text = visitor.get("/_consent/policy.md")
    assert text.headers["content-type"].startswith("text/markdown")
    assert [f"## {part['title']}" for part in document["parts"]] == re.findall(r"^## .*$", text.text, re.MULTILINE)


def test_the_cookie_table_comes_as_json_and_markdown_too(visitor: TestClient) -> None:
    names = {"__Host-consent", "__Host-visitor", *(cookie.name for cookie in law_group().cookies)}
    table = visitor.get("/_consent/cookies.json").json()
    assert {cookie["name"] for cookie in table["cookies"]} == names
    assert [vendor["name"] for vendor in table["vendors"]] == ["Echo Network"]
    text = visitor.get("/_consent/cookies.md").text
    assert all(f"| `{name}` |" in text for name in names)
    lines = {line.count(" | ") for line in text.splitlines() if line.startswith("| `")}
    assert lines == {5}


def test_markdown_shows_text_that_looks_like_markup_as_text(tmp_path: Path) -> None:
    text = TEXT.replace(
        'description = "The size of the text that you chose."', 'description = "a | b <i>c</i> [d](e) *f*"'
    )
    page = browser(tmp_path, text).get("/_consent/cookies.md").text
    (line,) = [line for line in page.splitlines() if "lg_reading" in line]
    assert line.count(" | ") == 5
    assert r"a \| b \<i\>c\</i\> \[d\](e) \*f\*" in line


def test_the_policy_can_stand_in_the_sites_own_template(visitor: TestClient) -> None:
    served = visitor.get("/_consent/policy?fragment=1").text
    policy_alone = words(policy_fragment(law_group(), "en"))
    assert words(served).replace("Nothing has been shared so far. ", "") == policy_alone
    assert served.strip().startswith("<article")
    assert served.strip().endswith("</article>")
    assert "<html" not in served
    assert "<script" not in served


def test_each_page_is_offered_in_every_language_of_the_site(visitor: TestClient) -> None:
    page = visitor.get("/_consent/policy?lang=ar")
    assert page.headers["content-language"] == "ar"
    assert '<html lang="ar" dir="rtl">' in page.text
    for code in law_group().site.languages:
        assert f'hreflang="{code}"' in page.text
    assert (
        visitor.get("/_consent/policy", headers={"accept-language": "sv, cy;q=0.8"}).headers["content-language"] == "cy"
    )
    assert visitor.get("/_consent/policy?lang=xx").headers["content-language"] == "en"
    assert "Accept-Language" in page.headers["vary"]


def disclosed(folder: Path, *lines: dict[str, str]) -> None:
    """Deliveries in the log, as `analytics share` writes them."""
    ledger = open_ledger(folder / "var")
    for line in lines:
        ledger.append_disclosure({"at": "2026-11-23T04:00:00+00:00", "site": "localhost", **line})
    ledger.close()


def test_the_policy_says_in_plain_words_what_was_shared_last(tmp_path: Path) -> None:
    lines = [
        {"recipient": "Plain Numbers Ltd", "period": f"day:2026-11-{day:02}", "at": f"2026-11-{day + 2:02}T04:00:00Z"}
        for day in range(1, 12)
    ]
    week = {"recipient": "Harwick University", "period": "week:2026-W46"}
    disclosed(tmp_path, *lines, week, {**week, "site": "other.example"}, {**week, "period": "some other day"})
    visitor = browser(tmp_path)
    page = words(visitor.get("/_consent/policy").text)
    assert (
        "The last statistics that were shared Date Who receives it Period 23 November 2026 Harwick University" in page
    )
    assert "9 November 2026 – 15 November 2026" in page
    assert page.count("Plain Numbers Ltd") == 1 + 9  # a recipient, and nine of the last ten deliveries
    assert "Nothing has been shared so far." not in page
    tables = [
        block
        for part in visitor.get("/_consent/policy.json").json()["parts"]
        for block in part["blocks"]
        if block.get("caption") == "The last statistics that were shared"
    ]
    assert tables[0]["rows"][0] == ["23 November 2026", "Harwick University", "9 November 2026 – 15 November 2026"]
    assert "| 23 November 2026 | Harwick University |" in visitor.get("/_consent/policy.md").text


def test_a_delivery_is_no_change_of_the_policy(tmp_path: Path) -> None:
    browser(tmp_path).get("/_consent/policy")
    disclosed(tmp_path, {"recipient": "Plain Numbers Ltd", "period": "month:2026-02"})
    later = browser(tmp_path)
    assert "1 February 2026 – 28 February 2026" in later.get("/_consent/policy").text
    assert later.get("/_consent/policy/changes").text.count("The text as it was") == 1


def test_a_text_in_another_language_is_marked_with_it(tmp_path: Path) -> None:
    text = TEXT.replace('summary = "Statistics are', 'summary.cy = "Caiff ystadegau"\nsummary.en = "Statistics are', 1)
    visitor = browser(tmp_path, text)
    welsh, english = (visitor.get(f"/_consent/policy?lang={code}").text for code in ("cy", "en"))
    assert "<bdi>Caiff ystadegau</bdi>" in welsh
    assert '<bdi lang="en">Members are asked again' in welsh
    assert "<bdi>Members are asked again" in english


def test_a_latin_name_keeps_its_order_in_an_arabic_sentence(tmp_path: Path) -> None:
    text = TEXT.replace('without_it.en = "Nothing.', 'without_it = "Nothing (really).', 1)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("without_it."))
    page = browser(tmp_path, text).get("/_consent/?lang=ar").text
    assert "\u2068Nothing (really). We then count the page, without anything about you.\u2069" in page
    contact = browser(tmp_path, text).get("/_consent/policy?lang=ar").text
    assert '<a href="mailto:privacy@larkfield.example">' in contact


def test_a_site_overrides_any_sentence(tmp_path: Path) -> None:
    own = '\n[site.texts.en]\n"You decide about cookies" = "Your cookies, your call"\n"%(n)s days" = "%(n)s sunrises"\n'
    visitor = browser(tmp_path, TEXT.replace("[consent]\n", f"{own.lstrip()}\n[consent]\n", 1))
    assert "Your cookies, your call" in visitor.get("/").text
    assert "You decide about cookies" not in visitor.get("/").text
    assert "182 sunrises" in visitor.get("/_consent/").text


def test_every_revision_is_kept_with_what_changed(tmp_path: Path) -> None:
    first = browser(tmp_path)
    first.get("/_consent/policy")
    assert '<details class="consent-difference">' not in first.get("/_consent/policy/changes").text
    text = TEXT.replace("revision = 4", "revision = 5", 1).replace("raw_days = 35", "raw_days = 34")
    text += '\n[[history]]\nrevision = 5\ndate = 2026-11-22\nsummary = "Single visits are kept for a shorter time."\n'
    second = browser(tmp_path, text)
    page = second.get("/_consent/policy/changes").text
    assert "Single visits are kept for a shorter time." in page
    assert "<ins>Single visits: 34 days</ins>" in page
    assert "<del>Single visits: 35 days</del>" in page
    for digest in re.findall(r"/_consent/notice/([0-9a-f]{64})", page):
        kept = second.get(f"/_consent/notice/{digest}")
        assert hashlib.sha256(kept.content).hexdigest() == digest
    assert len(set(re.findall(r"/_consent/notice/([0-9a-f]{64})", page))) == 2
    assert page.index("Revision 5") < page.index("Revision 4") < page.index("Revision 2")


def test_a_choice_keeps_the_policy_that_it_was_made_under(tmp_path: Path) -> None:
    post(browser(tmp_path), "accept")
    later = browser(tmp_path, TEXT.replace("revision = 4", "revision = 5", 1).replace("raw_days = 35", "raw_days = 34"))
    assert "<del>Single visits: 35 days</del>" in later.get("/_consent/policy/changes").text


@pytest.mark.parametrize("digest", ["0" * 64, "x", "..%2f..%2fetc%2fpasswd", "é" * 64])
def test_there_is_no_notice_under_another_name(visitor: TestClient, digest: str) -> None:
    assert visitor.get(f"/_consent/notice/{digest}").status_code == 404


def test_script_and_style_have_names_that_change_with_their_bytes(visitor: TestClient) -> None:
    page = visitor.get("/").text
    for pattern in (r"/_consent/banner\.[0-9a-f]{12}\.js", r"/_consent/banner\.[0-9a-f]{12}\.css"):
        (path,) = set(re.findall(pattern, page))
        answer = visitor.get(path)
        assert hashlib.sha256(answer.content).hexdigest()[:12] in path
        assert "immutable" in answer.headers["cache-control"]
        plain = re.sub(r"\.[0-9a-f]{12}", "", path)
        again = visitor.get(plain)
        assert again.content == answer.content
        assert visitor.get(plain, headers={"if-none-match": again.headers["etag"]}).status_code == 304
        assert visitor.get(re.sub(r"[0-9a-f]{12}", "0" * 12, path)).headers["location"] == path
    assert "interface Consent" in visitor.get("/_consent/consent.d.ts").text


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [("gzip, deflate, br", True), ("br;q=1, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("", False)],
)
def test_script_and_style_come_packed_to_whoever_unpacks_them(visitor: TestClient, accepts: str, packed: bool) -> None:
    with visitor.stream("GET", "/_consent/banner.js", headers={"accept-encoding": accepts}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(raw) if packed else raw) == asset("banner.js")[0]
    again = {"accept-encoding": accepts, "if-none-match": answer.headers["etag"]}
    assert visitor.get("/_consent/banner.js", headers=again).status_code == 304


def test_a_lawful_basis_without_words_is_shown_as_the_file_has_it() -> None:
    from consent_middleware.pages.purposes import basis_name
    from consent_middleware.pages.words import words_for

    t = words_for(law_group(), "en")
    assert basis_name("strictly-necessary", t) == "strictly necessary for what you asked for"
    assert basis_name("a-basis-of-next-year", t) == "a-basis-of-next-year"


def test_countries_have_names_in_the_language_of_the_page(tmp_path: Path) -> None:
    text = (
        TEXT + '\n[[vendor]]\nname = "Far"\npurpose = "analytics"\nhosts = ["far.example"]\n'
        'country = "JP"\nsafeguard = "adequacy"\n'
    )
    visitor = browser(tmp_path, text)
    for language, name in (("en", "Japan"), ("fr", "Japon"), ("ar", "اليابان")):
        page = words(visitor.get(f"/_consent/policy?lang={language}").text)
        assert name in page, language
        assert not re.search(r"\bJP\b", page)
    assert "JP" in visitor.get("/_consent/cookies.json").text, "machines read the code"


def test_no_table_of_the_policy_has_an_empty_column(tmp_path: Path) -> None:
    bare = (
        'revision = 1\nupdated = 2026-11-20\n[controller]\nname = "Bare"\n[site]\n[[purpose]]\nid = "analytics"\n'
        '[[vendor]]\nname = "Stats"\npurpose = "analytics"\nhosts = ["stats.example"]\n'
        '[[recipient]]\nname = "Search"\ncountry = "FR"\n'
    )
    document = browser(tmp_path, bare).get("/_consent/policy.json").json()
    tables = [block for part in document["parts"] for block in part["blocks"] if block["type"] == "table"]
    assert len(tables) > 4
    for table in tables:
        assert all(any(column) for column in zip(*table["rows"], strict=True)), table["caption"]
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}
