"""What a user can get wrong: each is one clear line on standard error, exit code 2, and never a traceback."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
POLICY = (ROOT / "examples" / "law_group" / "privacy.toml").read_text(encoding="utf-8")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
SECRET = "a-secret-of-a-test-that-nobody-else-uses"


def give_up_roots_rights() -> None:
    """Root that may not pass over the rights of files is an ordinary user as far as files go (capabilities(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def run(*command: str | Path, ordinary: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment with only these variables set."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=give_up_roots_rights if ordinary and os.geteuid() == 0 else None,
    )


def explained(done: subprocess.CompletedProcess[str]) -> str:
    """The one line; fails when there is more, another exit code, or a traceback."""
    assert done.returncode == 2, done.stderr or done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def policy_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "privacy.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


CHANGES = {
    "an unknown key": ("minimum_cell = 5", "minimum_cel = 5", ("anonymity.minimum_cel", 'did you mean "minimum_cell"')),
    "an undeclared purpose": (
        'lifetime = "13 months"\n',
        'lifetime = "13 months"\n\n[[cookie]]\nname = "x"\npurpose = "analytcs"\n',
        ("cookie[3].purpose", 'did you mean "analytics"'),
    ),
    "two cookies with one name": ('name = "lg_stats"', 'name = "lg_session"', ("cookie[2].name", "declared twice")),
    "a recipient abroad": ('country = "IE"\nformat', 'country = "IN"\nformat', ("recipient[1]", "safeguard")),
}


@pytest.mark.parametrize("mistake", CHANGES)
def test_a_mistake_in_the_policy_file_is_one_line(policy_file: Callable[[str], Path], mistake: str) -> None:
    right, wrong, expected = CHANGES[mistake]
    assert right in POLICY
    path = policy_file(POLICY.replace(right, wrong, 1))
    data_dir = path.parent / "var"
    for done in (
        run(sys.executable, "-m", "consent_middleware", "check", "--policy", path),
        run(sys.executable, "-m", "analytics", "serve", "--port", "0", "--policy", path, "--data-dir", data_dir),
        serve_site(data_dir, CONSENT_SECRET_KEYS=SECRET, LAW_GROUP_POLICY=str(path)),
    ):
        line = explained(done)
        assert path.name in line
        assert all(words in line for words in expected)


def test_no_policy_file_is_one_line_that_says_how_to_get_one(tmp_path: Path) -> None:
    line = explained(run(sys.executable, "-m", "consent_middleware", "check", "--policy", tmp_path / "privacy.toml"))
    assert "consent init" in line


def test_a_missing_secret_is_one_line_that_says_what_to_set(tmp_path: Path) -> None:
    assert "CONSENT_SECRET_KEYS" in explained(serve_site(tmp_path))


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that an ordinary user can enter and nobody but root can write."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_data_folder_that_cannot_be_written_is_one_line(closed_folder: Path) -> None:
    data_dir = closed_folder / "var"
    site = serve_site(data_dir, ordinary=True, CONSENT_SECRET_KEYS=SECRET)
    assert str(data_dir) in explained(site)
    service = run(sys.executable, "-m", "analytics", "serve", "--port", "0", "--data-dir", data_dir, ordinary=True)
    assert str(data_dir) in explained(service)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = explained(
            run(sys.executable, "-m", "analytics", "serve", "--port", port, "--data-dir", tmp_path / "var")
        )
    assert port in line
    assert "--port" in line


def test_segments_module_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "analytics").mkdir()
    (tmp_path / "analytics" / "__init__.py").write_text("from analytics.version import VERSION\n")
    line = explained(run(PROGRAMS / "analytics", "--version", PYTHONPATH=str(tmp_path)))
    assert "Segment" in line
    assert str(tmp_path) in line
    assert run(PROGRAMS / "analytics", "--version").returncode == 0


def serve_site(data_dir: Path, ordinary: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the example under uvicorn, as its readers do."""
    command = (sys.executable, "-m", "uvicorn", "examples.law_group.app:app", "--port", "0")
    return run(*command, ordinary=ordinary, CONSENT_DATA_DIR=str(data_dir), **environment)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("consent", "chek"), "check"),
        (("consent", "ledger", "verfy"), "verify"),
        (("consent", "rights", "opne"), "open"),
        (("consent", "check", "--polcy", "x"), "--policy"),
        (("analytics", "doktor"), "doctor"),
        (("analytics", "doctor", "--formt", "json"), "--format"),
    ],
)
def test_a_misspelt_command_or_option_is_answered_with_what_was_meant(words: tuple[str, ...], meant: str) -> None:
    done = run(PROGRAMS / words[0], *words[1:])
    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr
