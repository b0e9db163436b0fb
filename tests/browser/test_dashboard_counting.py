"""Numbers that take long, in Chromium: bars move and the page comes again, with and without JavaScript."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.accessibility import violations
from tests.reports.test_running import FILL
from tests.reports.test_service_process import Running as Service

WORDS = "&".join("f=contains_not,event:props:text," + "|".join(f"w{n}x{m}" for m in range(5)) for n in range(8))
PAGE = "/?site=site.example&from=2026-11-10&to=2026-11-10"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("counting")
    subprocess.run([sys.executable, "-c", FILL, str(folder)], check=True, timeout=120)
    running = Service(folder)
    yield running
    running.process.terminate()
    running.process.communicate(timeout=60)


def sign_in(page: Any, service: Service) -> None:
    page.goto(f"{service.url}/login")
    page.fill("#token", service.token)
    page.click("main button")


def test_bars_move_and_the_page_comes_again_by_itself(page: Any, service: Service) -> None:
    sign_in(page, service)
    page.goto(f"{service.url}{PAGE}&{WORDS}")
    assert page.locator("progress[data-question]").count() > 0
    assert violations(page) == []
    page.wait_for_selector(".figures b >> text=999", timeout=60_000)
    page.wait_for_selector("#devices table", timeout=60_000)


def test_without_javascript_the_page_asks_to_be_loaded_again(plain_page: Any, service: Service) -> None:
    sign_in(plain_page, service)
    words = WORDS.replace("w0x", "v0x")  # not kept from the test before
    plain_page.goto(f"{service.url}{PAGE}&{words}")
    assert plain_page.locator("progress").count() > 0
    plain_page.wait_for_selector(".figures b >> text=999", timeout=60_000)
