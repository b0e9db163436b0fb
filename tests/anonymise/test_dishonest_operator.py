"""Manifests that are signed by the right key and spend too much: what `verify` and the checker without packages say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics.anonymise import sealed
from analytics.anonymise.budget import Budget
from analytics.anonymise.periods import Period
from analytics.anonymise.release import seal
from analytics.anonymise.sealed import verify
from analytics.anonymise.signing import Signer
from tests.anonymise.audit_tools import NOW, SITE, hit, policy, put

CHECKER = Path(__file__).parents[2] / "verify" / "releases.py"
CUBES = '[anonymity]\ncubes = ["total", "source"]\n'
PERIODS = ("day:2026-11-19", "day:2026-11-20")
Manifest = dict[str, Any]


def checked(releases: Path) -> tuple[int, str]:
    """-S -E: neither packages nor the environment."""
    command = [sys.executable, "-S", "-E", str(CHECKER), str(releases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def releases(store: Any, tmp_path: Path) -> Path:
    put(store, [hit(1000 + n, 36_000 + n, device="desktop") for n in range(20)])
    folder = tmp_path / "releases"
    for period in PERIODS:
        seal(store, policy(CUBES), SITE, Period.parse(period), folder, now=NOW)
    assert verify(folder) == []
    assert checked(folder)[0] == 0
    return folder


def sign_again(releases: Path, change: Callable[[Manifest], None]) -> None:
    """Change the last manifest and sign it with the site's own key: what an operator could do."""
    path = releases / SITE / f"{PERIODS[-1].replace(':', '-')}.json"
    manifest = json.loads(path.read_bytes())["manifest"]
    change(manifest)
    signer = Signer.open(releases.parent / "keys")
    envelope = {"manifest": manifest, "key": signer.public_key, "signature": signer.sign(sealed.canonical(manifest))}
    path.write_bytes(sealed.canonical(envelope))


def test_signing_again_alone_is_no_problem(releases: Path) -> None:
    sign_again(releases, lambda manifest: manifest.update(software="another"))
    assert verify(releases) == []
    assert checked(releases)[0] == 0


def times(factor: float) -> Callable[[Manifest], None]:
    """Every measurement spends so much more, with the smaller sigma that goes with it: consistent in itself."""

    def change(manifest: Manifest) -> None:
        for m in manifest["measurements"]:
            m["rho"] *= factor
            m["sigma"] /= factor**0.5
        manifest["spent"]["rho"] *= factor

    return change


def test_a_signed_manifest_that_overspends_is_refused(releases: Path) -> None:
    """The defaults give a day half of the budget: 2.2 times that is more than the promise."""
    sign_again(releases, times(2.2))
    code, said = checked(releases)
    assert code == 1
    assert "2026-11-20: more was spent than epsilon 1, delta 1e-06" in said
    assert "signature" not in said
    assert any(problem.startswith(f"{SITE}: 2026-11-20: rho") for problem in verify(releases))


def test_a_signed_manifest_whose_thresholds_overspend_delta_is_refused(releases: Path) -> None:
    def change(manifest: Manifest) -> None:
        manifest["spent"]["delta"] = 2e-6

    sign_again(releases, change)
    code, said = checked(releases)
    assert (code, "2026-11-20: more was spent than" in said) == (1, True)
    assert any("2026-11-20: rho" in problem for problem in verify(releases))


def less_noise(manifest: Manifest) -> None:
    for m in manifest["measurements"]:
        m["sigma"] /= 2


def less_rho(manifest: Manifest) -> None:
    manifest["spent"]["rho"] /= 2


def less_delta(manifest: Manifest) -> None:
    manifest["spent"]["delta"] /= 2


def lower_threshold(manifest: Manifest) -> None:
    next(m for m in manifest["measurements"] if "tau" in m)["tau"] -= 1 / 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (less_noise, "a measurement spends more than it states"),
        (lower_threshold, "a threshold is lower than its delta allows"),
        (less_rho, "the measurements do not add up to what is stated as spent (rho)"),
        (less_delta, "the measurements do not add up to what is stated as spent (delta)"),
    ],
)
def test_a_signed_manifest_that_contradicts_itself_is_refused(
    releases: Path, change: Callable[[Manifest], None], message: str
) -> None:
    sign_again(releases, change)
    code, said = checked(releases)
    assert (code, message in said) == (1, True)
    assert any(message in problem for problem in verify(releases))


def test_a_signed_chain_whose_periods_together_overspend_is_refused(
    store: Any, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each release keeps the promise by itself; the account that would have refused the month was put aside."""
    greedy = CUBES + "[anonymity.shares]\nday = 0.2\nweek = 0.0\nmonth = 0.8\n"
    month = Period.parse("month:2026-11")
    with pytest.raises(sealed.SealError, match="would spend rho"):
        seal(store, policy(greedy), SITE, month, releases, now=NOW)
    monkeypatch.setattr(Budget, "check", lambda self, plan: None)
    seal(store, policy(greedy), SITE, month, releases, now=NOW)
    code, said = checked(releases)
    assert code == 1
    for day in ("2026-11-19", "2026-11-20"):
        assert f"{day}: more was spent than epsilon 1, delta 1e-06" in said
    assert "2026-11-18" not in said, "the month alone keeps the promise"
    assert [problem[:23] for problem in verify(releases)] == [f"{SITE}: 2026-11-19", f"{SITE}: 2026-11-20"]


def test_a_larger_promise_in_one_manifest_does_not_hide_what_is_spent_beyond_it(releases: Path) -> None:
    def change(manifest: Manifest) -> None:
        times(100)(manifest)
        manifest["promise"]["epsilon"] = 2.0

    sign_again(releases, change)
    assert "2026-11-20: more was spent than epsilon 2" in checked(releases)[1]


def test_a_signed_manifest_that_is_none_is_a_problem_and_no_crash(releases: Path) -> None:
    sign_again(releases, lambda manifest: manifest.update(measurements=[{"cube": "total"}]))
    assert any("not a manifest" in problem for problem in verify(releases))
    sign_again(releases, lambda manifest: manifest.update(spent=None))
    assert any("not a manifest" in problem for problem in verify(releases))
