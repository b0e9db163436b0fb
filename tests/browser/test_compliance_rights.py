"""Rows 27 and 28 of docs/compliance.md: rights answered end to end, with the service running behind the site."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consent_middleware.ledger import open_ledger
from consent_middleware.suppression import SuppressionList
from examples.demo.processes import Processes
from tests.browser.helping import choose, eventually


@pytest.fixture(scope="module")
def served_site(site: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The example with `analytics serve` on its data folder."""
    with Processes(tmp_path_factory.mktemp("service") / "logs") as processes:
        places = ("--policy", site.environment["LAW_GROUP_POLICY"], "--data-dir", str(site.data_dir))
        processes.start("service", "-m", "analytics", "serve", "--port", "0", *places)
        log = processes.log("service")
        processes.wait_until("service", lambda: "Ready" in log.read_text(), "starting", seconds=120)
        yield site


def register(site: Any) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "consent_middleware", "rights", "list", "--format", "json"]
    done = subprocess.run([*command, "--data-dir", str(site.data_dir)], capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # a list by that command's contract


def my_data(page: Any, site: Any) -> list[dict[str, Any]] | None:
    """The rows that the visitor can take away; None while they are being prepared."""
    answer = page.request.get(site.url + "/_consent/data?format=json")
    if answer.status != 200:
        return None
    found = answer.json()
    return next((found[name] for name in ("rows", "events") if name in found), [])


def test_row_27_every_right_is_answered_and_kept_in_a_register(served_site: Any, page: Any) -> None:
    page.goto(served_site.url + "/")
    choose(page, "accept")
    for path in ("/articles", "/members"):
        page.goto(served_site.url + path)
    held = eventually(lambda: my_data(page, served_site), seconds=60)
    assert {"/articles", "/members"} & {row.get("path") for row in held}

    for verb in ("restrict", "object", "correct", "erase"):
        page.goto(served_site.url + "/_consent/data", wait_until="networkidle")
        form = page.locator(f'form[action$="/data/{verb}"]')
        if verb == "correct":
            form.locator("textarea").fill("I was never on that page.")
        form.locator("button").first.click()
        page.get_by_role("status").first.wait_for()

    def answered() -> bool:
        found = {request["right"]: request for request in register(served_site)}
        wanted = {"portability", "restriction", "objection", "correction", "erasure"}
        return wanted <= set(found) and all(found[right]["state"] == "answered" for right in wanted)

    eventually(answered, seconds=90)
    for request in register(served_site):
        assert request["due"] > request["opened"]
        assert request["identity"] == "cookie"


def test_row_28_an_objection_to_marketing_holds_at_once_and_for_good(served_site: Any, page: Any) -> None:
    address = "reader@letters.example"
    page.goto(served_site.url + "/newsletter")
    page.get_by_label("E-mail").fill(address)
    page.get_by_role("checkbox").last.check()
    page.get_by_role("button", name="Subscribe").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    command = [sys.executable, "-m", "consent_middleware", "rights", "open", "--right", "marketing-objection"]
    command += ["--subject", address, "--hooks", "examples.law_group.rights", "--data-dir", str(served_site.data_dir)]
    command += ["--policy", served_site.environment["LAW_GROUP_POLICY"]]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(served_site.data_dir), **served_site.environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert "at once" in done.stdout
    ledger = open_ledger(Path(served_site.data_dir))
    try:
        later = allowed(ledger, served_site, ["READER@Letters.example", "other@letters.example"])
        with ThreadPoolExecutor() as beside:  # Playwright's loop runs in this thread
            mailing = beside.submit(asyncio.run, later).result(60)
    finally:
        ledger.close()
    assert mailing == ["other@letters.example"]


async def allowed(ledger: Any, site: Any, imported: list[str]) -> list[str]:
    """What a later import or mailing may write to."""
    return await SuppressionList(ledger, site.policy).allowed(imported)
