"""Each right, end to end: a person with data in every store asks, in a browser and by e-mail, and is answered."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consent_middleware.capture import visitor_key
from consent_middleware.cli import consent as commands
from consent_middleware.rights.register import Register
from examples.law_group import rights as site_rights
from examples.law_group.records import SiteRecords
from tests.browser.helping import choose, eventually
from tests.browser.test_compliance_rights import my_data, register, served_site

__all__ = ["served_site"]  # the fixture

ADDRESS = "mina@alder-quay.example"
WORDS = "an unmistakable question about a boundary wall"


def consent(site: Any, *arguments: str) -> str:
    """The operator's command, in a thread of its own because Playwright's loop runs in this one."""
    places = ["--data-dir", str(site.data_dir), "--policy", site.environment["LAW_GROUP_POLICY"]]
    with ThreadPoolExecutor(1) as beside:
        call = beside.submit(CliRunner().invoke, commands, ["rights", *arguments, *places], standalone_mode=False)
        done = call.result(120)
    assert done.exception is None, (done.output, done.exception)
    assert not done.return_value, done.output
    return str(done.output)


def answered(site: Any, right: str, subject: str, *more: str) -> str:
    """What an operator does for a letter."""
    number = re.match(r"request (\d+)", consent(site, "open", "--right", right, "--subject", subject))
    assert number
    return consent(site, "answer", number[1], *more)


def holding(site: Any, needle: bytes) -> list[str]:
    """The files of the data folder that hold some bytes; the third party's own are not among them."""
    found = []
    # os.walk passes over a folder that the engine takes away meanwhile, where rglob fails.
    for folder, _, names in os.walk(site.data_dir):
        for path in (Path(folder) / name for name in names):
            try:
                if needle in path.read_bytes():
                    found.append(str(path.relative_to(site.data_dir)))
            except FileNotFoundError:
                continue
    return found


def fill(page: Any, path: str, values: dict[str, str], ticks: tuple[str, ...] = ()) -> None:
    page.goto(path)
    form = page.locator("main form").first
    for name, value in values.items():
        form.locator(f'[name="{name}"]').fill(value)
    for name in ticks:
        form.locator(f'[name="{name}"]').check()
    with page.expect_navigation():
        form.locator("button").last.click()


def become_known(site: Any, page: Any) -> None:
    """Visits, an enquiry, a subscription, a membership: something in every store."""
    page.goto(site.url + "/")
    choose(page, "accept")
    for path in ("/articles", "/members"):
        page.goto(site.url + path)
    fill(page, site.url + "/enquiry", {"name": "Mina", "email": ADDRESS, "message": WORDS})
    fill(page, site.url + "/newsletter", {"email": ADDRESS}, ("agree",))
    fill(page, site.url + "/join", {"name": "Mina Alder", "email": ADDRESS, "practice": "Alder", "town": "Quay"},
         ("publish",))  # fmt: skip


def send(page: Any, button: Any) -> None:
    """Press a button of the page My data; what a refusal says is in the failure."""
    with page.expect_navigation() as arriving:
        button.click()
    assert arriving.value.ok, (arriving.value.status, page.locator("body").inner_text())
    page.get_by_role("status").first.wait_for()


@pytest.fixture
def office(served_site: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The site, and an operator who has its secrets and its tables."""
    monkeypatch.setattr(site_rights, "records", SiteRecords(served_site.data_dir / "site" / "records.sqlite3"))
    monkeypatch.setenv("CONSENT_SECRET_KEYS", served_site.environment["CONSENT_SECRET_KEYS"])
    return served_site


def test_each_right_is_answered_in_every_store(office: Any, page: Any, tmp_path: Path) -> None:
    site, data_page = office, office.url + "/_consent/data"
    become_known(site, page)

    # Access, by a link in an e-mail: the copy comes at once, and holds every table and both consents.
    link = consent(site, "link", "--right", "access", "--address", ADDRESS, "--site", site.url).strip()
    page.goto(link)
    with page.expect_download() as download:
        page.locator("main button").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        held = json.loads(archive.read("data.json"))["held"]
        names = set(archive.namelist())
    assert {"consents", "members", "enquiries", "newsletter"} == set(held)
    assert held["enquiries"][0]["message"] == WORDS
    assert {row["purpose"] for row in held["consents"]} == {"publish-profile", "share-with-organisers", "newsletter"}
    assert {"data.json", "members.csv", "enquiries.csv", "read-me.html"} <= names

    # Portability, by the cookie: the visits.
    rows = eventually(lambda: my_data(page, site), seconds=60)
    assert {"/articles", "/members"} <= {row.get("path") for row in rows}

    # Access for somebody who sends the number on their receipt: the visits through the record.
    receipt = page.request.get(site.url + "/_consent/receipt").text()
    record = re.search(r'"[^"]*?([A-Za-z0-9_-]{22})"', receipt)
    assert record, receipt[:300]
    package = tmp_path / "record.zip"
    told = answered(site, "access", f"record:{record[1]}", "--output", str(package), "--wait", "60")
    assert "visits" in told
    with zipfile.ZipFile(io.BytesIO(package.read_bytes())) as archive:
        assert len(json.loads(archive.read("data.json"))["held"]["visits"]) >= len(rows)

    # Correction and restriction of the site's own rows.
    assert "1 row in members" in answered(site, "correction", ADDRESS, "--set", "town=Neu Quay")
    told = answered(site, "restriction", ADDRESS)
    assert all(f"1 row in {table}" in told for table in ("members", "enquiries", "newsletter"))
    package = tmp_path / "again.zip"
    answered(site, "access", ADDRESS, "--output", str(package))
    with zipfile.ZipFile(package) as archive:
        member = json.loads(archive.read("data.json"))["held"]["members"][0]
    assert (member["town"], member["restricted"]) == ("Neu Quay", 1)

    # On the page: restriction and objection of visits, an end to marketing, a complaint.
    for verb in ("restrict", "object"):
        page.goto(data_page, wait_until="networkidle")
        send(page, page.locator(f'form[action$="/data/{verb}"] button').first)
    page.goto(data_page, wait_until="networkidle")
    form = page.locator('form[action$="/data/stop-marketing"]')
    form.locator("input").fill(ADDRESS)
    send(page, form.locator("button"))
    form = page.locator('form[action$="/data/complain"]')
    form.locator("textarea").fill("You answered late.")
    send(page, form.locator("button"))

    # Erasure: what is found before is not found after, in any file.
    (visitor,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "visitor"]
    key = visitor_key(visitor)
    needles = (str(key).encode(), struct.pack("<Q", key))
    eventually(lambda: my_data(page, site), seconds=60)
    assert any(holding(site, needle) for needle in needles)
    assert holding(site, WORDS.encode())
    page.goto(data_page, wait_until="networkidle")
    send(page, page.locator('form[action$="/data/erase"] button').first)
    told = answered(site, "erasure", ADDRESS)
    assert "1 row in members" in told
    assert "the proof of 3 consents leads to nobody any more" in told
    eventually(lambda: not any(holding(site, needle) for needle in needles), seconds=90)
    assert holding(site, WORDS.encode()) == []

    def settled() -> bool:
        waiting = {r["right"] for r in register(site) if r["state"] not in ("answered",)}
        return waiting == {"complaint"}  # a person answers that one

    eventually(settled, seconds=90)
    kinds = {request.right for request in Register(site.data_dir).all()}
    assert kinds == {"access", "portability", "correction", "restriction", "objection", "marketing-objection",
                     "complaint", "erasure"}  # fmt: skip
    for request in Register(site.data_dir).all():
        assert request.due > dt.datetime.now(dt.UTC).date()
        assert request.identity
