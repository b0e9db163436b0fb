"""Commands on the embedded store while the service has it open: the service does their errands."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.reports.access import Access
from consent_middleware.capture import visitor_key
from tests.ingest.rows import row, spool_rows
from tests.reports.test_service_process import Running

MARY, LOG = "M" * 22, '192.0.2.7 - - [20/Nov/2026:10:11:12 +0000] "GET /a HTTP/1.1" 200 12 "-" "Mozilla/5.0"\n'
POLICY = (
    "revision = 1\nupdated = 2026-11-20\n[controller]\nname = 'Example'\nsupervisory_authority = 'The authority'\n"
    "[site]\nhosts = ['example.org']\nhooks = 'none'\n[[purpose]]\nid = 'necessary'\nrequired = true\n"
    "[[purpose]]\nid = 'analytics'\n"
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service without a policy of its own: nothing happens here but what a command asks for."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "privacy.toml").write_text(POLICY)
    (tmp_path / "var").mkdir()
    service = Running(tmp_path / "var")
    yield service
    service.process.terminate()
    service.process.communicate(timeout=60)


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analytics", *words, "--data-dir", "../var"]  # relative, as people type it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_")}
    return subprocess.run(
        line, capture_output=True, text=True, cwd=folder / "policy", timeout=120, check=False, env=environment
    )


def test_every_command_on_the_store_works_while_the_service_runs(running: Running, tmp_path: Path) -> None:
    spool_rows(tmp_path / "var", [row(1, visitor=visitor_key(MARY)), row(2)])
    loaded = command(tmp_path, "load")
    assert (loaded.returncode, loaded.stdout) == (0, "2 rows loaded in 1 batch, 1 segment done\n"), loaded.stderr
    (tmp_path / "policy" / "access.log").write_text(LOG)
    imported = command(tmp_path, "import", "access.log")
    assert "access.log: 1 line of combined imported" in imported.stdout, imported.stderr
    seen = command(tmp_path, "doctor", "--format", "json")
    assert seen.returncode in (0, 1), seen.stderr
    assert sorted((part["basis"], part["rows"]) for part in json.loads(seen.stdout)["held"])[-1] == ("imported", 1)
    assert "Every kind and its clock" in command(tmp_path, "doctor").stdout
    told = command(tmp_path, "breach", "--from", "2020-01-01", "--until", "2030-01-01")
    assert "The authority" in told.stdout, told.stderr
    assert "visits: 3 rows" in told.stdout
    mistyped = command(tmp_path, "erase", MARY[1:])
    assert (mistyped.returncode, "no visitor" in mistyped.stderr) == (1, True)
    erased = command(tmp_path, "erase", MARY)
    assert (erased.returncode, erased.stdout) == (0, "1 row erased, 0 left\n"), erased.stderr
    assert command(tmp_path, "erase", MARY).returncode == 1, "it is known no more"


def test_a_mistyped_site_is_told_from_the_known_ones_while_the_service_runs(running: Running, tmp_path: Path) -> None:
    (tmp_path / "policy" / "access.log").write_text(LOG)
    refused = command(tmp_path, "import", "access.log", "--site", "www.exmaple.org")
    assert refused.returncode == 2
    assert 'no site "www.exmaple.org" (known: example.org); say --new-site' in refused.stderr
    assert command(tmp_path, "import", "access.log").returncode == 0
    for lane in ("internal", "released"):
        asked = command(tmp_path, "report", "overview", "--site", "nosuch", "--lane", lane)
        assert (asked.returncode, asked.stderr) == (2, 'error: no site "nosuch" (known: example.org)\n')
    made = command(tmp_path, "token", "create", "x", "--site", "nosuch")
    assert (made.returncode, made.stdout) == (2, "")
    assert 'no site "nosuch" (known: example.org)' in made.stderr
    assert command(tmp_path, "token", "create", "x", "--site", "example.org").stdout.startswith("ana_")
    mistyped = command(tmp_path, "report", "overview", "-p", "7x")
    assert mistyped.stderr.startswith('error: --period: "7x" is not a date range'), mistyped.stderr


def test_a_period_is_sealed_by_hand_while_the_service_runs(running: Running, tmp_path: Path) -> None:
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=5)
    spool_rows(tmp_path / "var", [row(number, time_ms=int(then.timestamp() * 1000)) for number in range(3)])
    assert command(tmp_path, "load").returncode == 0
    day = f"day:{then:%Y-%m-%d}"
    assert day in command(tmp_path, "release", "--due", "--dry-run").stdout
    sealed = command(tmp_path, "release", "--period", day)
    assert sealed.stdout.startswith(f"sealed {day} of example.org: "), sealed.stderr
    again = command(tmp_path, "release", "--period", day)
    assert (again.returncode, "noise is drawn once" in again.stderr) == (2, True)
    assert json.loads(command(tmp_path, "release", "--late", "--format", "json").stdout) == {"period": day, "late": 0}
    assert (
        'no site "other.example" (known: example.org'
        in command(tmp_path, "release", "--period", day, "--site", "other.example").stderr
    )
    assert command(tmp_path, "verify").returncode == 0
    vague = command(tmp_path, "report", "overview", "--lane", "released", "-p", "30d")
    assert vague.returncode == 2
    assert vague.stderr.startswith("error: --period: "), vague.stderr
    assert vague.stderr.endswith(f"; try -p {day}\n"), vague.stderr
    assert "cubes" not in vague.stderr, "the cube is not what is wrong"
    followed = command(tmp_path, "report", "overview", "--lane", "released", "-p", day)
    assert (followed.returncode, f"{then:%Y-%m-%d}" in followed.stdout) == (0, True), followed.stderr


def test_a_fault_reaches_the_command_as_one_line(running: Running, tmp_path: Path) -> None:
    (tmp_path / "policy" / "broken.zip").write_bytes(b"PK\x03\x04 and nothing")
    broken = command(tmp_path, "import", "broken.zip")
    assert broken.returncode == 2
    assert broken.stderr.startswith("error: ")
    assert broken.stderr.count("\n") == 1
    hooks = command(tmp_path, "breach", "--from", "2020-01-01", "--until", "2030-01-01", "--hooks", "no_such_module")
    assert (hooks.returncode, "no_such_module" in hooks.stderr) == (2, True)


def test_errands_need_what_only_the_owner_of_the_files_has(running: Running, tmp_path: Path) -> None:
    contact = tmp_path / "var" / "service.json"
    assert stat.S_IMODE(contact.stat().st_mode) == 0o600
    body = {"errand": {"type": "erase", "visitor": 1}, "policy": str(tmp_path / "policy" / "privacy.toml")}
    operator = Access(tmp_path / "var").create("another operator", "operator")
    for token in ("", running.token, operator):
        assert running.send("/api/errand", body, token)[0] == 401, "the right to ask is not the right to the files"
    assert (
        running.send("/api/errand", {"errand": {"type": "shell"}}, json.loads(contact.read_text())["token"])[0] == 400
    )
