"""What several browser tests need."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OWN_COOKIES = frozenset({"consent", "visitor", "__Host-consent", "__Host-visitor"})


def eventually(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first true answer of `check`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {check}")
        time.sleep(0.1)


def cookie_names(context: Any) -> set[str]:
    """The names of all cookies that the browser holds, whoever set them."""
    return {cookie["name"] for cookie in context.cookies()}


def answer_copies(data_dir: Path) -> None:
    """Answer every request for a copy that waits in the spool, as the analytics service would."""
    common = {"host": "localhost", "source": "News", "country": "GB", "device": "desktop", "os": "Linux"}
    rows = [
        {"time": f"2026-11-20T10:00:{second:02}.125Z", "name": "pageview", "path": f"/articles/{second}", **common}
        for second in range(12)
    ]
    (data_dir / "answers").mkdir(exist_ok=True)
    for path in (data_dir / "spool").rglob("*.control"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if (asked := json.loads(line))["kind"] == "export":
                answer = {"rows": rows, "restricted": True, "objected": False}
                (data_dir / "answers" / f"{asked['ticket']}.json").write_text(json.dumps(answer))


def choose(page: Any, choice: str) -> None:
    """Press the visible button of the banner or of the preferences page that stands for `choice`."""
    button = page.locator(f'button[name="choice"][value="{choice}"]:visible').first
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        button.click()
    settle(page)


def settle(page: Any) -> None:
    """Wait out the reload that follows a choice where the page's own policy blocks what was just granted."""
    page.wait_for_timeout(300)
    page.wait_for_load_state("networkidle")
