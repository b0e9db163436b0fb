"""My data: what the holder of a cookie can see, take away and ask for."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from consent_middleware.pages.my_data import csv_of, ticket_for
from consent_middleware.rights.register import Register
from tests.pages.sites import browser, post, words

ROWS = [
    {"time": "2026-11-20T10:00:00Z", "path": "/", "country": "GB", "props": {}, "note": "=HYPERLINK(1)"},
    {"time": "2026-11-20T10:01:00Z", "path": "/about", "country": "GB", "props": {"plan": "pro"}, "note": "-3"},
]


@pytest.fixture
def agreed(tmp_path: Path) -> TestClient:
    """Somebody who said yes, and so has a visitor cookie."""
    visitor = browser(tmp_path)
    post(visitor, "accept")
    return visitor


def asked(folder: Path) -> list[dict[str, Any]]:
    """The requests that wait in the spool for the analytics service."""
    files = sorted((folder / "var" / "spool").rglob("*.control"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def answer(folder: Path, rows: list[dict[str, Any]], **switched: bool) -> None:
    """Answer the one request for a copy, as the analytics service would."""
    (ticket,) = [record["ticket"] for record in asked(folder) if record["kind"] == "export"]
    answers = folder / "var" / "answers"
    answers.mkdir(exist_ok=True)
    (answers / f"{ticket}.json").write_text(json.dumps({"rows": rows, **switched}))


def test_without_a_cookie_it_says_that_nothing_can_be_found_and_where_to_write(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    page = words(visitor.get("/_consent/data").text)
    assert "There is no visitor cookie in this browser" in page
    assert "If you withdraw your consent, the visits recorded with it are erased." in page
    assert "Letters, enquiries, membership and payments cannot be found by a cookie." in page
    assert "privacy@larkfield.example" in page
    assert visitor.get("/_consent/data?format=json").status_code == 404
    assert visitor.post("/_consent/data/erase").status_code == 404


def test_whoever_erases_and_goes_on_agreeing_is_told_that_new_visits_are_recorded(agreed: TestClient) -> None:
    told = "Your consent still stands, so new visits are recorded until you withdraw it."
    assert told in agreed.get(agreed.post("/_consent/data/erase").headers["location"]).text
    assert told not in agreed.get(agreed.post("/_consent/data/restrict").headers["location"]).text
    agreed.post("/_consent/", data={"choice": "save", "purpose": ["marketing"]})
    assert told not in agreed.get("/_consent/data?done=erase&reference=12345678").text


def test_a_download_that_a_person_opens_is_refused_by_a_page(tmp_path: Path) -> None:
    visitor = browser(tmp_path, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    for address in ("/_consent/data?format=json", "/_consent/data?format=csv", "/_consent/receipt"):
        answer = visitor.get(address)
        assert answer.headers["content-type"].startswith("text/html"), address
        assert "There is no" in words(answer.text)


def test_every_field_for_typing_has_a_label_that_can_be_seen(agreed: TestClient) -> None:
    page = agreed.get("/_consent/data").text
    fields = re.findall(r'<(?:textarea|input(?! type="hidden"))[^>]*>', page)
    assert len(fields) == 3
    for field in fields:
        named = re.search(r'(?:aria-labelledby|\bid)="([^"]+)"', field)
        assert named, field
        label = re.search(rf'<label for="{named[1]}">([^<]+)<|<(?:p|h3) id="{named[1]}">([^<]+)<', page)
        assert label, field
        assert field.startswith("<textarea") or label[1] == "E-mail address", "a single line has its label beside it"


def test_the_copy_is_prepared_once_and_then_shown_newest_first(agreed: TestClient, tmp_path: Path) -> None:
    page = agreed.get("/_consent/data")
    assert "being prepared" in page.text
    waiting = agreed.get("/_consent/data?format=json")
    assert (waiting.status_code, waiting.json()) == (202, {"state": "being-prepared"})
    answer(tmp_path, ROWS)  # asked for once: `answer` finds one ticket
    page = agreed.get("/_consent/data")
    assert "being prepared" not in page.text
    assert page.text.index("/about") < page.text.index("<bdi>/</bdi>")


def test_the_copy_can_be_taken_away_in_two_formats(agreed: TestClient, tmp_path: Path) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS)
    taken = agreed.get("/_consent/data?format=json")
    assert taken.json()["rows"] == ROWS
    assert 'filename="my-data.json"' in taken.headers["content-disposition"]
    table = agreed.get("/_consent/data?format=csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [row["path"] for row in rows] == ["/", "/about"]
    assert rows[0]["note"] == "'=HYPERLINK(1)"  # no spreadsheet runs it
    assert rows[1]["note"] == "-3"


def test_a_copy_that_was_taken_away_is_an_answered_request_whatever_comes_after(
    agreed: TestClient, tmp_path: Path
) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS)
    agreed.get("/_consent/data?format=json")
    agreed.get("/_consent/data?format=csv")
    agreed.post("/_consent/data/erase")  # takes the copy away before anybody settles the register
    found = {request.right: request for request in Register(tmp_path / "var").all()}
    assert found["portability"].closed is not None
    assert found["erasure"].closed is None


def test_a_csv_cell_may_hold_anything() -> None:
    text = 'a "quoted", comma\nand a line'
    assert list(csv.reader(io.StringIO(csv_of([{"x": text}]), newline=""))) == [["x"], [text]]


def test_nothing_kept_is_said_plainly(agreed: TestClient, tmp_path: Path) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, [])
    assert "Nothing is kept under the visitor cookie of this browser." in words(agreed.get("/_consent/data").text)


@pytest.mark.parametrize("verb", ["erase", "restrict", "unrestrict", "object", "correct"])
def test_each_right_is_a_form_that_is_confirmed_with_a_reference(agreed: TestClient, tmp_path: Path, verb: str) -> None:
    assert f'/_consent/data/{verb}"' in agreed.get("/_consent/data").text
    done = agreed.post(f"/_consent/data/{verb}", data={"text": "My town is Harwick."})
    assert done.status_code == 303
    page = words(agreed.get(done.headers["location"]).text)
    assert "Your request has arrived" in page
    (record,) = [record for record in asked(tmp_path) if record["kind"] == verb]
    assert record["text"] == ("My town is Harwick." if verb == "correct" else "")
    told = agreed.post(f"/_consent/data/{verb}", headers={"accept": "application/json"})
    assert (told.status_code, told.json()["request"]) == (202, verb)


def test_an_erasure_takes_back_the_copy_that_was_prepared(agreed: TestClient, tmp_path: Path) -> None:
    """At once, in every worker, and also while the analytics service is not running."""
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS)
    assert agreed.get("/_consent/data?format=json").json()["rows"] == ROWS
    agreed.post("/_consent/data/erase")
    (mark,) = (tmp_path / "var" / "answers").iterdir()
    assert (mark.suffix, mark.read_text().split()[0]) == (".asked", "0"), "two numbers, and no copy"
    assert agreed.get("/_consent/data?format=json").status_code == 202
    in_order = sorted(asked(tmp_path), key=lambda record: record["time"])
    assert [record["kind"] for record in in_order] == ["export", "erase", "export"], "asked anew after it"


@pytest.mark.parametrize("verb", ["erase", "restrict", "object", "correct"])
def test_a_foreign_page_can_ask_for_nothing(agreed: TestClient, tmp_path: Path, verb: str) -> None:
    refused = agreed.post(f"/_consent/data/{verb}", headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 403
    assert asked(tmp_path) == []


@pytest.mark.parametrize("length", [2001, 40_000])
def test_a_correction_that_is_too_long_is_refused_and_not_cut(agreed: TestClient, tmp_path: Path, length: int) -> None:
    refused = agreed.post("/_consent/data/correct", data={"text": "x" * length})
    assert refused.status_code == 400
    assert "Nothing was changed." in words(refused.text)
    assert asked(tmp_path) == []


def test_a_correction_may_be_as_long_as_the_field_in_any_script(agreed: TestClient, tmp_path: Path) -> None:
    text = "\U0001f4dc" * 1998 + "\r\n文"
    assert agreed.post("/_consent/data/correct", data={"text": text}).status_code == 303
    (record,) = [record for record in asked(tmp_path) if record["kind"] == "correct"]
    assert record["text"] == text.replace("\r\n", "\n")


def test_after_a_request_the_page_shows_what_is_true_then(agreed: TestClient, tmp_path: Path) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS)
    assert "being prepared" not in agreed.get("/_consent/data").text
    agreed.post("/_consent/data/restrict")
    assert "being prepared" in agreed.get("/_consent/data").text
    kinds = [record["kind"] for record in sorted(asked(tmp_path), key=lambda record: record["time"])]
    assert kinds == ["export", "restrict", "export"]  # in this order: the second copy comes after the restriction


@pytest.mark.parametrize(("switch", "shown"), [("restricted", 1), ("objected", 1), ("", 0)])
def test_what_is_in_force_is_said_beside_its_right(agreed: TestClient, tmp_path: Path, switch: str, shown: int) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS, **({switch: True} if switch else {}))
    assert agreed.get("/_consent/data").text.count("This is in force now.") == shown


def test_everything_that_is_held_can_be_seen_on_the_page(agreed: TestClient, tmp_path: Path) -> None:
    row = {"time": "2026-11-20T10:00:00Z", "path": "/x", "device": "desktop", "country": "GB", "bytes": 512}
    row |= {"browser": "Firefox", "browser_version": "131", "source": "", "props": {"plan": "pro"}}
    agreed.get("/_consent/data")
    answer(tmp_path, [row])
    page = words(agreed.get("/_consent/data?lang=de").text)
    for held in ("2026-11-20 10:00:00", "/x", "desktop · Firefox 131", "GB", 'props {"plan":"pro"}', "bytes 512"):
        assert held in page
    assert "Zeitpunkt Seite Gerät Land Einzelheiten" in page  # no column without anything in it


def test_nobody_reads_anothers_copy(agreed: TestClient, tmp_path: Path) -> None:
    agreed.get("/_consent/data")
    answer(tmp_path, ROWS)
    other = browser(tmp_path)
    post(other, "accept")
    assert "/about" not in other.get("/_consent/data").text.partition("</header>")[2].partition("<footer")[0]
    assert other.get("/_consent/data?format=json").status_code == 202


def test_answers_have_names_that_need_the_sites_secret(agreed: TestClient, tmp_path: Path) -> None:
    class Keyed:
        def __init__(self, key: str) -> None:
            self.secret_keys = (key,)

    one, two = (ticket_for(Keyed(key), "A" * 22, "export", 0.0) for key in ("one", "two"))  # type: ignore[arg-type]  # all that it reads of the services
    assert one != two
