"""What the policy does not declare is said in the log once, so that a developer knows where a cookie or a film went."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from consent_middleware.inventory import MAX_TOLD, Inventory
from tests.gate.driving import answering, call, request, wrapped
from tests.gate.test_pages_on_their_way import ACCEPT, HTML, POLICY


def test_a_cookie_and_a_frame_of_the_site_that_nobody_declared_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = b"<!doctype html><html><body><iframe src=https://film.example/1></iframe></body></html>"
    cookies = [(b"set-cookie", b"mystery=secret-value"), (b"set-cookie", b"_ga=GA1.2.3")]

    async def ask() -> None:
        app = wrapped(answering(HTML, *cookies, body=page), tmp_path, POLICY)
        for _ in range(3):
            await call(app, request(ACCEPT, (b"cookie", b"of-the-visitor=1")))
        await app.close()

    with caplog.at_level(logging.WARNING, "consent_middleware"):
        asyncio.run(ask())
    told = [record.getMessage() for record in caplog.records]
    assert sum("mystery" in line and "[[cookie]]" in line for line in told) == 1
    assert sum("film.example" in line and "[[vendor]]" in line for line in told) == 1
    text = "\n".join(told)
    assert "secret-value" not in text
    assert "_ga" not in text, "declared, and not agreed to: nothing to wonder about"
    assert "of-the-visitor" not in text, "a browser may send what it likes"


def test_the_log_is_not_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inventory = Inventory(tmp_path)
    with caplog.at_level(logging.WARNING, "consent_middleware"):
        for number in range(100):
            inventory.blocked_host(f"h{number}x.example")
            inventory.blocked_host(f"r{number}x.example", "script-src")
    inventory.close()
    assert len(caplog.records) == MAX_TOLD
    assert not any("script-src" in record.getMessage() or " r" in record.getMessage() for record in caplog.records)
