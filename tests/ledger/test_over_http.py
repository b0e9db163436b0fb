"""The ledger seen from a browser: real servers, real cookies, two hosts on one ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from consent_middleware import ConsentMiddleware
from consent_middleware.keys import signing_key
from tests.ledger.parts import POLICY, SECRETS
from tests.ledger.test_proofs import bare_python, checked

pytestmark = pytest.mark.anyio
__all__ = ["bare_python"]


async def says(request: Request) -> JSONResponse:
    decision = request.scope["consent"]
    return JSONResponse({"analytics": decision.allows("analytics"), "record": decision.record_id})


@contextlib.asynccontextmanager
async def a_host(data_dir: Path, url: str | None) -> AsyncIterator[str]:
    """A uvicorn server of the wrapped site; its address."""
    app = ConsentMiddleware(Starlette(routes=[Route("/", says)]), POLICY, data_dir, SECRETS, ledger_url=url)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def accept(browser: httpx.AsyncClient, host: str) -> str:
    """Press "accept"; the record id that the site then sees."""
    await browser.post(f"{host}/_consent/", data={"choice": "accept"}, headers={"origin": host})
    seen = (await browser.get(f"{host}/")).json()
    assert seen["analytics"] is True
    return str(seen["record"])


async def test_a_receipt_is_downloaded_and_checks_out_in_a_bare_python(tmp_path: Path, bare_python: Path) -> None:
    async with a_host(tmp_path, None) as host, httpx.AsyncClient() as browser:
        await accept(browser, host)
        receipt = await browser.get(f"{host}/_consent/receipt")
        assert receipt.headers["content-type"] == "application/ld+json"
        assert checked(bare_python, receipt.content, signing_key(tmp_path).public) == (0, "genuine\n")


async def test_a_withdrawal_on_one_host_is_known_on_the_other_and_old_cookies_are_dead(
    tmp_path: Path, url: str | None
) -> None:
    # On SQLite two workers share a data folder; with PostgreSQL each host has its own.
    folders = [tmp_path / "one", tmp_path / ("two" if url else "one")]
    async with a_host(folders[0], url) as one, a_host(folders[1], url) as two, httpx.AsyncClient() as browser:
        await accept(browser, one)
        old = dict(browser.cookies.items())
        await browser.post(f"{one}/_consent/", data={"choice": "reject"}, headers={"origin": one})
        copied = "; ".join(f"{name}={value}" for name, value in old.items())
        asked = time.monotonic()
        async with httpx.AsyncClient(headers={"cookie": copied}) as thief:
            assert (await thief.get(f"{one}/")).json()["analytics"] is False, "at once on the host that wrote it"
            while (await thief.get(f"{two}/")).json()["analytics"]:
                assert time.monotonic() - asked < 60, "the other host never heard of it"
                await asyncio.sleep(0.05)


async def test_without_its_ledger_the_site_sets_no_cookie_and_says_so(tmp_path: Path) -> None:
    async with a_host(tmp_path, None) as host, httpx.AsyncClient() as browser:
        await accept(browser, host)
        locker = sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite3", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        async with httpx.AsyncClient() as visitor:
            answer = await visitor.post(f"{host}/_consent/", data={"choice": "accept"}, headers={"origin": host})
            assert answer.status_code == 503
            assert "set-cookie" not in answer.headers
            assert "not stored" in answer.text
            # A cookie that was given before goes on counting, without any store.
            assert (await browser.get(f"{host}/")).json()["analytics"] is True
        locker.execute("ROLLBACK")
        locker.close()


def test_parquet_without_its_library_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "pyarrow.py").write_text("raise ImportError('hidden')")
    (tmp_path / "privacy.toml").write_text(POLICY.source)
    ledger = tmp_path / "var" / "ledger"
    command = [sys.executable, "-m", "consent_middleware"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{tmp_path / 'hidden'}{os.pathsep}{Path(__file__).parents[2]}",
    }
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False, "timeout": 60}
    (tmp_path / "form.txt").write_text("I agree.")
    form = ["record", "--subject", "member:1", "--purpose", "publish", "--text-file", "form.txt", "--given"]
    assert subprocess.run([*command, *form], **run).returncode == 0  # type: ignore[call-overload]  # options as a dict
    assert ledger.exists()
    out = ["ledger", "export", "--format", "parquet", "--output", "out.parquet"]
    done = subprocess.run([*command, *out], **run)  # type: ignore[call-overload]  # options as a dict
    assert done.returncode == 2
    assert done.stderr.startswith("error: Parquet needs pyarrow")
