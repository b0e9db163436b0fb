"""The public interface, used as a site's developer would: one file, one wrap, and every documented name and route."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from consent_middleware import ConsentMiddleware, PolicyError, PrivacyPolicy, record_consent

KEY = "k" * 40
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
POLICY = """
revision = 1
updated = 2026-11-20
[controller]
name = "The Group"
address = "1 Street, London"
contact = "privacy@example.org"
supervisory_authority = "Information Commissioner's Office"
[site]
hosts = ["testserver", "localhost"]
languages = ["en"]
[[purpose]]
id = "necessary"
title = "Necessary"
description = "The site can't work without these."
required = true
[[purpose]]
id = "preferences"
title = "Preferences"
description = "Remembers how you like the site."
[[purpose]]
id = "analytics"
title = "Statistics"
description = "Counts visits."
[[cookie]]
name = "sessionid"
purpose = "necessary"
description = "Keeps you signed in."
[[cookie]]
name = "theme"
purpose = "preferences"
lifetime = "1 year"
[[cookie]]
name = "_stats*"
purpose = "analytics"
lifetime = "13 months"
[capture]
plausible = true
"""


async def home(request: Request) -> Response:
    response = HTMLResponse(
        "<!doctype html><html lang=en><head><title>Home</title></head><body><p>Home</p></body></html>"
    )
    response.set_cookie("sessionid", "s1", httponly=True)
    response.set_cookie("theme", "dark", max_age=86400)
    response.set_cookie("_stats_1", "x", max_age=86400)
    response.set_cookie("undeclared", "x")
    return response


async def echo(request: Request) -> Response:
    decision = request.scope["consent"]
    request.scope["visit"].event("signup", plan="pro")
    return JSONResponse(
        {
            "cookies": dict(request.cookies),
            "decided": decision.decided,
            "analytics": decision.allows("analytics"),
            "necessary": decision.allows("necessary"),
            "regime": decision.regime,
            "signals": list(decision.signals),
            "record_id": decision.record_id,
        }
    )


async def profile(request: Request) -> Response:
    record = await record_consent(
        request.scope,
        purpose="publish-profile",
        given=True,
        text="Publish my name and photograph.",
        subject="member:42",
    )
    return PlainTextResponse(str(record.record_id))


def site(policy: Path, data: Path, **options: Any) -> ConsentMiddleware:
    routes = [
        Route("/", home),
        Route("/page/{number}", home),
        Route("/echo", echo),
        Route("/profile", profile, methods=["POST"]),
    ]
    return ConsentMiddleware(
        Starlette(routes=routes), policy=str(policy), data_dir=str(data), secret_keys=[KEY], **options
    )


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "privacy.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture(params=["with lifespan", "without lifespan"])
def client(request: pytest.FixtureRequest, policy_file: Path, data_dir: Path) -> Iterator[TestClient]:
    """Without lifespan, each request runs in an event loop of its own: nothing may be bound to a former one."""
    client = TestClient(site(policy_file, data_dir), follow_redirects=False)
    if request.param == "with lifespan":
        with client:
            yield client
    else:
        yield client


def run(module: str, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CONSENT_")}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env={**environment, "CONSENT_SECRET_KEYS": KEY},
        timeout=120,
        check=False,
    )
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def accept(client: TestClient, **form: Any) -> Any:
    return client.post("/_consent/", data={"choice": "accept", "return": "/echo", **form})


def test_before_a_choice_only_the_necessary_cookie_is_issued(client: TestClient) -> None:
    response = client.get("/")
    assert {cookie.name for cookie in client.cookies.jar} == {"sessionid"}
    assert "Home" in response.text
    assert "/_consent/" in response.text
    assert client.get("/echo").json() == {
        "cookies": {"sessionid": "s1"},
        "decided": False,
        "analytics": False,
        "necessary": True,
        "regime": "opt-in",
        "signals": [],
        "record_id": None,
    }


def test_acceptance_refusal_and_withdrawal_by_form(client: TestClient) -> None:
    client.get("/")
    answer = accept(client)
    assert answer.status_code == 303
    assert answer.headers["location"].endswith("/echo")
    client.get("/")
    names = {cookie.name for cookie in client.cookies.jar}
    assert names == {"sessionid", "theme", "_stats_1", "consent", "visitor"}
    seen = client.get("/echo").json()
    assert seen["analytics"]
    assert seen["record_id"]
    assert {"sessionid", "theme", "_stats_1"} <= set(seen["cookies"])
    state = client.get("/_consent/state").json()
    assert state["decided"] is True
    assert state["purposes"] == {"necessary": True, "preferences": True, "analytics": True}
    assert {"regime", "signals", "revision"} <= set(state)
    receipt = client.get("/_consent/receipt")
    assert receipt.status_code == 200
    assert seen["record_id"] in receipt.text

    client.post("/_consent/", data={"choice": "save", "purpose": ["preferences"]})
    client.get("/")
    assert {cookie.name for cookie in client.cookies.jar} == {"sessionid", "theme", "consent"}

    client.post("/_consent/", data={"choice": "reject"})
    client.get("/")
    assert {cookie.name for cookie in client.cookies.jar} == {"sessionid", "consent"}
    seen = client.get("/echo").json()
    assert seen["decided"] is True
    assert seen["record_id"] is None
    assert client.get("/_consent/receipt").status_code == 404


def test_a_choice_by_json_answers_with_the_state(client: TestClient) -> None:
    answer = client.post("/_consent/", json={"choice": "save", "purpose": ["analytics"]})
    assert answer.status_code == 200
    assert answer.json()["purposes"] == {"necessary": True, "preferences": False, "analytics": True}


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_choice_from_another_site_is_refused(client: TestClient, header: dict[str, str]) -> None:
    answer = client.post("/_consent/", data={"choice": "accept"}, headers=header)
    assert answer.status_code == 403
    assert not client.get("/_consent/state").json()["decided"]


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_the_return_address_stays_on_the_site(client: TestClient, target: str) -> None:
    location = accept(client, **{"return": target}).headers["location"]
    assert location.startswith(("/", "http://testserver/"))
    assert "evil" not in location.split("?")[0]
    assert not location.startswith("//")


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/_consent/", 200, "text/html"),
        ("/_consent/policy", 200, "text/html"),
        ("/_consent/policy.json", 200, "application/json"),
        ("/_consent/cookies", 200, "text/html"),
        ("/_consent/cookies.json", 200, "application/json"),
        ("/_consent/receipt", 404, "text/html"),
        ("/_consent/data", 200, "text/html"),
        ("/.well-known/gpc.json", 200, "application/json"),
    ],
)
def test_every_documented_page_answers(client: TestClient, path: str, status: int, kind: str) -> None:
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(kind)


def test_events_are_acknowledged_and_plausible_says_what_it_dropped(client: TestClient) -> None:
    body = {"n": "pageview", "u": "http://testserver/page", "d": "testserver"}
    dropped = client.post("/api/event", json=body)
    assert dropped.status_code == 202
    assert dropped.headers["x-plausible-dropped"] == "1"
    accept(client)
    kept = client.post("/api/event", content=json.dumps(body), headers={"content-type": "text/plain"})
    assert kept.status_code == 202
    assert kept.text == "ok"
    assert "x-plausible-dropped" not in kept.headers
    assert client.post("/_consent/event", json={"name": "signup"}).status_code == 202
    assert client.post("/api/event", content="{").status_code == 400


def test_consent_at_a_form_is_on_record_and_the_ledger_verifies(
    client: TestClient, policy_file: Path, data_dir: Path
) -> None:
    accept(client)
    record = client.post("/profile").text
    paths = ["--policy", str(policy_file), "--data-dir", str(data_dir)]
    assert record in run("consent_middleware", "record", "--record", record, *paths).stdout
    run("consent_middleware", "ledger", "verify", *paths)
    exported = run("consent_middleware", "ledger", "export", *paths).stdout
    assert record in exported
    assert "testclient" not in exported, "neither an address nor a user agent belongs in the proof"


def test_gpc_counts_only_when_exactly_one_and_never_withdraws_a_consent(client: TestClient) -> None:
    assert client.get("/echo", headers={"Sec-GPC": "1"}).json()["signals"] == ["gpc"]
    assert client.get("/echo", headers={"Sec-GPC": "true"}).json()["signals"] == []
    accept(client)
    assert client.get("/echo", headers={"Sec-GPC": "1"}).json()["analytics"] is True


def test_a_missing_secret_refuses_to_start_and_says_what_to_set(
    policy_file: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONSENT_SECRET_KEYS", raising=False)
    with pytest.raises(Exception, match="CONSENT_SECRET_KEYS"):
        ConsentMiddleware(Starlette(), policy=str(policy_file), data_dir=str(data_dir))


def test_a_broken_policy_refuses_to_start(tmp_path: Path) -> None:
    path = tmp_path / "privacy.toml"
    path.write_text(POLICY + "\n[sight]\n")
    with pytest.raises(PolicyError, match="sight: unknown key"):
        site(path, tmp_path / "var")
    with pytest.raises(PolicyError):
        PrivacyPolicy.load(path)


def test_visits_reach_a_report_and_the_full_address_reaches_no_file(policy_file: Path, data_dir: Path) -> None:
    pytest.importorskip("chdb", reason="the embedded engine is not installed")
    policy_file.write_text(POLICY + "[anonymity]\nminimum_cell = 1\n")
    with TestClient(site(policy_file, data_dir), client=("203.0.113.77", 1234)) as client:
        accept(client)
        for _ in range(6):
            client.get("/page/1", headers={"user-agent": FIREFOX})
        visitor = client.cookies["visitor"]
    paths = ["--policy", str(policy_file), "--data-dir", str(data_dir)]
    run("analytics", "load", *paths)
    report = json.loads(run("analytics", "report", *paths, "--format", "json").stdout)
    assert "/page/1" in json.dumps(report)
    assert "Firefox" in json.dumps(report)
    for file in data_dir.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"203.0.113.77" not in content, file
            assert visitor.encode() not in content, file


def test_private_files_are_private(client: TestClient, data_dir: Path) -> None:
    accept(client)
    for file in [*data_dir.rglob("*.sqlite3"), *data_dir.rglob("*.pem"), *data_dir.rglob("*.rows")]:
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file


CONSENT = "init|check|diff|withdraw|record|ledger verify|ledger export|rights list|rates|keys list|cookies import"
ANALYTICS = "serve|load|import|report|release|verify|share|erase|doctor|token list"
COMMANDS = {"consent_middleware": CONSENT.split("|"), "analytics": ANALYTICS.split("|")}


@pytest.mark.parametrize(
    ("module", "command"), [(module, command) for module, commands in COMMANDS.items() for command in commands]
)
def test_every_command_takes_the_common_options(module: str, command: str, tmp_path: Path) -> None:
    common = ["--policy", str(tmp_path / "privacy.toml"), "--data-dir", str(tmp_path)]
    assert "Usage" in run(module, *command.split(), *common, "--help").stdout
