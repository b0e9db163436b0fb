"""`analytics release` and `analytics verify`, as an operator runs them."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analytics.anonymise.paths import known_paths
from analytics.cli import analytics as command_line
from analytics.reports.reconcile import Z95
from analytics.reports.released import bound_among
from analytics.store import open_store
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy
from tests.anonymise.audit_tools import POLICY, hit, put


def analytics(data_dir: Path, *arguments: str) -> Result:
    policy = data_dir / "privacy.toml"
    policy.write_text(POLICY + '[anonymity]\ncubes = ["total", "path", "device"]\n')
    extra = ["--policy", str(policy)] if arguments[0] == "release" else []
    return CliRunner().invoke(command_line, [*arguments, *extra, "--data-dir", str(data_dir)], standalone_mode=False)


def exit_code(result: Result) -> int:
    """As `consent_middleware.lazy.run` turns it into the process's."""
    if isinstance(result.exception, UserError):
        return result.exception.exit_code
    assert result.exception is None, result.exception
    return result.return_value if isinstance(result.return_value, int) else 0


def test_a_dry_run_shows_the_spend_and_touches_nothing(tmp_path: Path) -> None:
    done = analytics(tmp_path, "release", "--period", "day:2026-11-19", "--dry-run")
    assert exit_code(done) == 0
    table = done.output.partition("This release alone")[0]
    assert max(map(len, table.splitlines()[1:])) <= 80, "a terminal of 80 columns cuts nothing"
    for word in ("sigma", "tau", "trust from", "epsilon"):
        assert word in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"privacy.toml"}
    nothing = analytics(tmp_path, "release", "--due", "--dry-run")
    assert "nothing is due" in nothing.output
    assert {path.name for path in tmp_path.iterdir()} == {"privacy.toml"}
    told = json.loads(
        analytics(tmp_path, "release", "--period", "day:2026-11-19", "--dry-run", "--format", "json").output
    )
    for measurement in told["measurements"]:
        assert measurement["smallest_trustworthy"] >= 1.96 * measurement["sigma"]
        assert measurement["tau"] is None or measurement["smallest_trustworthy"] >= measurement["tau"]
    assert told["rho"] <= told["promise"]["rho"]
    total, device = (
        next(m for m in told["measurements"] if (m["cube"], m["metric"]) == (cube, "visitors"))
        for cube in ("total", "device")
    )
    assert total["smallest_trustworthy"] == math.ceil(Z95 * total["sigma"])
    assert device["smallest_trustworthy"] == math.ceil(bound_among(6) * device["sigma"]), "six cells: one may err"


def test_a_site_that_nobody_knows_is_not_sealed(tmp_path: Path) -> None:
    refused = analytics(tmp_path, "release", "--period", "day:2026-11-19", "--site", "other.example")
    assert exit_code(refused) == 2
    assert 'no site "other.example" (known: ' in str(refused.exception)
    assert not (tmp_path / "releases").exists()


def test_a_site_that_nobody_knows_has_no_plan_and_makes_no_store(tmp_path: Path) -> None:
    for more in (("--period", "day:2026-11-19"), ("--due",)):
        refused = analytics(tmp_path, "release", *more, "--dry-run", "--site", "nosuch")
        assert exit_code(refused) == 2
        assert 'no site "nosuch" (known: ' in str(refused.exception)
        assert {path.name for path in tmp_path.iterdir()} == {"privacy.toml"}


def test_a_day_is_sealed_once_verified_and_changed_files_are_found(tmp_path: Path) -> None:
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=4)
    with open_store(None, tmp_path) as store:
        put(store, [hit(n, 36_000, day=day) for n in range(1, 30)])
    assert f"day:{day}" in analytics(tmp_path, "release", "--due", "--dry-run").output
    sealed = analytics(tmp_path, "release", "--due")
    assert exit_code(sealed) == 0
    assert f"sealed day:{day}" in sealed.output
    with open_store(None, tmp_path) as store:
        put(store, [hit(99, 40_000, day=day)])
        store.command("ALTER TABLE events UPDATE loaded = now() + 60 WHERE visitor = 99 SETTINGS mutations_sync = 2")
    late = analytics(tmp_path, "release", "--late")
    assert f"day:{day}: 1 row arrived after the seal and is in no release" in late.output.splitlines()
    again = analytics(tmp_path, "release", "--period", f"day:{day}")
    assert exit_code(again) == 2
    assert "sealed already" in str(again.exception)
    assert exit_code(analytics(tmp_path, "verify")) == 0
    file = tmp_path / "releases" / "example.org" / f"day-{day}.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    found = analytics(tmp_path, "verify")
    assert exit_code(found) == 1
    assert "SHA-256" in found.output


def test_the_routes_of_the_site_become_known_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routes_of_a_site.py").write_text(
        "from starlette.applications import Starlette\nfrom starlette.routing import Route\n"
        "async def page(request): ...\n"
        "class Wrapped:\n"
        "    app = Starlette(routes=[Route('/', page), Route('/about', page), Route('/n/{id}', page)])\n"
        "app = Wrapped()\n"
    )
    monkeypatch.chdir(tmp_path)
    done = analytics(tmp_path, "release", "--routes", "routes_of_a_site:app")
    assert exit_code(done) == 0
    text = PrivacyPolicy.parse(POLICY + done.output)
    assert known_paths(text) == ("/", "/about")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["release"], "name a period"),
        (["release", "--routes", "no_such_module:app"], "no such app"),
        (["release", "--period", "day:tomorrow"], "is not a period"),
        (["release", "--period", "day:2999-01-01"], "can be sealed from"),
        (["verify", "--releases", "nowhere"], "nowhere: no such folder"),
        (["verify", "--key", "nonsense"], "not a key"),
    ],
)
def test_what_a_user_can_mend_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = analytics(tmp_path, *arguments)
    assert exit_code(done) == 2
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_before_the_first_seal_nothing_is_wrong(tmp_path: Path) -> None:
    done = analytics(tmp_path, "verify")
    assert exit_code(done) == 0
    assert "nothing was sealed yet" in done.output


def test_the_process_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analytics", "verify", "--data-dir", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
