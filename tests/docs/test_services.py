"""What the documents say of PostgreSQL, ClickHouse and nginx, with the real programs; a cluster can't be had here."""

from __future__ import annotations

import ast
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from click.testing import CliRunner
from django.conf import global_settings
from django.contrib.messages.storage.cookie import CookieStorage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from analytics.store import open_store
from consent_middleware import ConsentMiddleware
from consent_middleware.cli import consent
from consent_middleware.forms import ConsentField
from tests.docs.blocks import ROOT, Block
from tests.docs.test_blocks import BASE, lines_of, of
from tests.ingest.rows import POLICY_TEXT, row, spool_rows
from tests.interop.servers import free_port, serving
from tests.ledger.conftest import PROGRAMS, Cluster
from tests.ledger.conftest import cluster as postgres_cluster
from tests.pages.sites import KEYS, browser, law_group, post
from tests.reports.test_service_process import Running
from tests.share.authority import certificate
from tests.share.sealed_day import DAY as SEALED_DAY
from tests.share.sealed_day import write_sealed_day
from tests.store.test_http_store import Server

cluster = postgres_cluster
SEALED = SEALED_DAY.first.isoformat()


def block_of(language: str, page: str, mark: str) -> Block:
    found = [block for block in of(language) if block.where.startswith(page) and mark in block.text]
    assert found, f"{page}: no block has {mark}"
    return found[0]


@pytest.mark.postgres
def test_the_ledger_of_several_hosts_as_the_page_sets_it_up(cluster: Cluster, tmp_path: Path) -> None:
    environment = {
        **os.environ, "PGHOST": str(cluster.folder), "PGUSER": "consent", "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "CONSENT_SECRET_KEYS": "a secret of this test, long enough for one",
    }  # fmt: skip
    # The administrator of this server is called as the page calls the ledger's role: the role gets another name.
    for line in lines_of(block_of("sh", "docs/howto/several-hosts.md", "createdb")):
        if line.startswith("create"):
            words = line.replace(" --pwprompt consent", " keeper").replace("--owner consent", "--owner keeper").split()
            subprocess.run(words, env=environment, check=True, timeout=60)
    written = block_of("toml", "docs/howto/several-hosts.md", "postgresql://").text
    settings = written.replace("consent@db.internal/consent", f"/consent?host={cluster.folder}&user=keeper")
    assert settings != written
    text = "".join(BASE.values()) + settings
    (tmp_path / "privacy.toml").write_text(text)
    with browser(tmp_path, text) as visitor:
        assert post(visitor, "accept").status_code == 303
    line = [sys.executable, "-m", "consent_middleware", "ledger", "verify"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound: 1 entry in 1 chain"), done.stdout


def test_a_host_loads_into_a_server_by_the_command_of_the_page(tmp_path: Path) -> None:
    written = lines_of(block_of("sh", "docs/howto/several-hosts.md", "--watch"))[0]
    server = Server(tmp_path / "engine")
    try:
        words = re.sub(r'"http://[^"]+"', server.url, written).split()
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        spool_rows(tmp_path / "var", [row(1), row(2)])
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("2 rows loaded in 1 batch"), said
        finally:
            process.kill()
            process.communicate()
        with open_store(server.url, tmp_path / "other") as store:
            assert store.query("SELECT count() FROM events") == [(2,)]
    finally:
        server.stop()


def asking(port: int) -> Callable[..., http.client.HTTPResponse]:
    """What asks the proxy, as a browser does that writes the port into `Host`."""
    anybody = ssl._create_unverified_context()

    def ask(path: str, method: str = "GET", body: str = "", **headers: str) -> http.client.HTTPResponse:
        line = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=anybody)
        line.request(method, path, body, headers={"Host": f"localhost:{port}", **headers})
        return line.getresponse()

    return ask


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with the page's block, in front of a gated site with the page's policy."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        why = "nginx is not installed: the configuration in docs/howto/proxy.md was NOT run"
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)
    settings = block_of("toml", "docs/howto/proxy.md", "trusted_proxies").text
    parts = {**BASE, "site": settings.replace('["www.example.org"]', '["localhost"]')}
    vendors = (
        f'[[vendor]]\nname = "V{number}"\npurpose = "analytics"\nhosts = ["cdn-of-vendor-{number}.example"]\n'
        for number in range(80)
    )
    (tmp_path / "privacy.toml").write_text("".join((*parts.values(), *vendors)))
    _, pem = certificate(tmp_path, "localhost")
    port = free_port()
    settings_of_server = {
        "CONSENT_POLICY": str(tmp_path / "privacy.toml"),
        "FORWARDED_ALLOW_IPS": "192.0.2.1",  # nobody who is here, as with --no-proxy-headers
    }
    with serving("tests.docs.proxied_site:app", "uvicorn", tmp_path, **settings_of_server) as site:
        location = block_of("nginx", "docs/howto/proxy.md", "proxy_pass").text.replace(
            "127.0.0.1:8000", f"127.0.0.1:{site}"
        )
        places = "".join(
            f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/errors;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{places}"
            f"server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {pem};\nssl_certificate_key {pem};\n"
            f"{location}\n}}\n}}\n"
        )
        running = subprocess.Popen([program, "-p", str(tmp_path), "-c", "nginx.conf"])
        try:
            for _ in range(200):
                assert running.poll() is None, (tmp_path / "errors").read_text()
                with socket.socket() as line:
                    if line.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            running.terminate()
            running.wait(20)


def test_nginx_with_the_block_of_the_page_keeps_a_stream_a_stream(proxied: int) -> None:
    ask = asking(proxied)
    stream = ask("/slow")
    assert b"first part" in stream.read1(65_536), "the second part is not even made yet"
    told = ask("/go-on", **{"Accept-Encoding": "gzip"})
    assert told.getheader("content-encoding") == "gzip", "compressed outside the middleware"
    assert told.getheader("set-cookie") is None, "and gated inside"
    assert b"second part" in stream.read()
    assert b"consent" in ask("/_consent/").read()


def test_behind_nginx_a_choice_is_taken_and_the_site_knows_of_https(proxied: int) -> None:
    ask, here = asking(proxied), f"https://localhost:{proxied}"
    form = {"Origin": here, "Content-Type": "application/x-www-form-urlencoded"}
    chosen = ask("/_consent/", "POST", "choice=accept&return=/", **form)
    assert chosen.status == 303, "the port of Origin is the port of Host"
    cookie = next(value.partition(";")[0] for name, value in chosen.getheaders() if "__Host-consent=" in value)
    page = ask("/here", Cookie=cookie)
    assert page.status == 200, "eighty vendors in its Content-Security-Policy"
    assert f"{here}/here from 127.0.0.1".encode() in page.read()


def test_over_a_socket_the_proxy_is_called_unix(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/proxy.md").read_text(encoding="utf-8")
    setting, inside = 'trusted_proxies = ["unix"]', 'trusted_hosts="*"'
    assert setting in page
    assert inside in page
    (tmp_path / "privacy.toml").write_text("".join({**BASE, "site": f"[site]\n{setting}\n"}.values()))
    site = ProxyHeadersMiddleware(
        Starlette(routes=[Route("/", lambda request: PlainTextResponse(f"{request.url} {request.client.host}"))]),
        trusted_hosts="*",
    )
    gated = ConsentMiddleware(site, tmp_path / "privacy.toml", tmp_path / "var", secret_keys=KEYS)
    server = uvicorn.Server(
        uvicorn.Config(gated, uds=str(tmp_path / "s"), proxy_headers=False, log_level="warning", lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        forwarded = {"host": "localhost", "x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.7"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "s")), headers=forwarded) as visitor:
            assert visitor.get("http://localhost/").text == "https://localhost/ 198.51.100.7"
            chosen = visitor.post(
                "http://localhost/_consent/", data={"choice": "accept"}, headers={"origin": "https://localhost"}
            )
            assert (chosen.status_code, "__Host-consent=" in chosen.headers["set-cookie"]) == (303, True), chosen.text
    finally:
        server.should_exit = True
        thread.join(30)


def test_the_page_declares_every_cookie_that_django_sets_by_itself() -> None:
    declared = {
        entry["name"] for entry in tomllib.loads(block_of("toml", "docs/howto/frameworks.md", "csrf").text)["cookie"]
    }
    own = {global_settings.SESSION_COOKIE_NAME, global_settings.CSRF_COOKIE_NAME, CookieStorage.cookie_name}
    assert declared == own


def test_the_client_of_the_reports_page_reads_a_sealed_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sealed_day(tmp_path)
    service = Running(tmp_path)
    try:
        text = block_of("python", "docs/reports.md", "Client(").text
        # The day of the tests was not drawn whole: it has no cells of what clipping took from pages.
        asked = (
            text.replace("http://127.0.0.1:8765", service.url)
            .replace("event:page", "visit:country")
            .replace("released=True", f'released=True, period=("{SEALED}", "{SEALED}")')
        )
        exec(compile(asked, "docs/reports.md", "exec"), {"token": service.token})
    finally:
        service.process.terminate()
        service.process.communicate(timeout=60)
    assert capsys.readouterr().out.startswith("['GB'] [")


def test_the_consents_of_the_ledger_page_are_recorded_in_a_request(tmp_path: Path) -> None:
    text = block_of("python", "docs/ledger.md", "await record_consent").text
    code = compile(text, "docs/ledger.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def handler(request: Request) -> JSONResponse:
        known = {"scope": request.scope, "request": request, "form": await request.form()}
        await eval(code, known)
        return JSONResponse({"record": known["record"].record_id, "standing": known["standing"].record_id})

    app = ConsentMiddleware(
        Starlette(routes=[Route("/", handler, methods=["POST"])]), law_group(), tmp_path / "var", secret_keys=KEYS
    )
    with TestClient(app, headers={"sec-fetch-site": "same-origin"}) as visitor:
        shown = ConsentField("publish", purpose="", text="Publish my name in the public directory.").html()
        hidden = re.findall(r'name="publish-text" value="([0-9a-f]{64})"', shown)[0]
        answer = visitor.post("/", data={"publish": "yes", "publish-text": hidden}).json()
    assert answer["record"] == answer["standing"]
    report = CliRunner().invoke(consent, ["ledger", "verify", "--data-dir", str(tmp_path / "var")])
    assert "sound: 2 entries" in report.output, "by the function, and by the field"
