"""Plausible's own tracker from npm, unchanged, in a real browser, against the wrapped site."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from consent_middleware import ConsentMiddleware
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.visit import Captured
from tests.capture.reading import policy, spooled

TRACKER = "@plausible-analytics/tracker@0.4.6"
PAGE = """<!doctype html><title>Join</title><p>Join us</p><script type="module">
import { init, track } from "/plausible.js";
init({ domain: "127.0.0.1", endpoint: "/api/event", captureOnLocalhost: true, autoCapturePageviews: false });
window.track = track;
</script>"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The script of the package, from the registry."""
    folder = tmp_path_factory.mktemp("npm")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(["npm", "pack", TRACKER], cwd=folder, capture_output=True, timeout=120, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip("the npm registry can't be reached")
    with tarfile.open(archives[0]) as archive:
        found = archive.extractfile("package/plausible.js")
        assert found is not None
        return found.read()


@pytest.fixture
def address(tmp_path: Path, tracker: bytes) -> Iterator[str]:
    inner = Starlette(
        routes=[
            Route("/plausible.js", lambda request: Response(tracker, media_type="text/javascript")),
            Route("/join", lambda request: HTMLResponse(PAGE)),
        ]
    )
    local = PrivacyPolicy.parse(
        policy().source.replace('hosts = ["example.org"]', 'hosts = ["127.0.0.1"]\ncsp = "off"')
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(ConsentMiddleware(inner, local, tmp_path, ["k" * 32]), log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def events(data_dir: Path) -> list[Captured]:
    text = spooled(data_dir)
    return [row for row in map(msgspec.json.Decoder(Captured).decode, text.splitlines()) if row.kind == "event"]


def test_the_tracker_is_answered_kindly_before_consent_and_recorded_after_it(tmp_path: Path, address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not os.path.exists("/usr/bin/chromium"):
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        page = browser.new_page()
        page.goto(f"{address}/join")
        send = '() => { window.track("signup", { props: { plan: "pro" }, interactive: true }) }'
        page.wait_for_function("() => window.track")
        with page.expect_response("**/api/event") as refused:
            page.evaluate(send)
        assert (refused.value.status, refused.value.headers["x-plausible-dropped"]) == (202, "1")
        assert events(tmp_path) == []

        agreed = page.evaluate(
            "() => fetch('/_consent/', { method: 'POST', body: new URLSearchParams({ choice: 'accept' }) })"
            ".then((answer) => answer.ok)"
        )
        assert agreed
        with page.expect_response("**/api/event") as taken:
            page.evaluate(send)
        assert taken.value.status == 202
        assert "x-plausible-dropped" not in taken.value.headers
        for _ in range(100):
            if found := events(tmp_path):
                break
            time.sleep(0.1)
        browser.close()
    assert (found[0].name, found[0].path, found[0].props) == ("signup", "/join", {"plan": "pro"})
    assert found[0].visitor != 0
