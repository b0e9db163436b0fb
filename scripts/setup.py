"""Set-up for the Makefile, on the standard library alone.

`setup.py environment` makes .venv and installs exactly what requirements.lock names, each file checked by its hash.
`setup.py programs NAME...` installs Debian's packages where that is allowed, and says what goes without them otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
READY = VENV / ".ready"
PACKAGE = re.compile(r"^[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==", re.MULTILINE)

# program -> (where it may lie beside the search path, what goes without it)
PROGRAMS: dict[str, tuple[tuple[str, ...], str]] = {
    "chromium": (
        ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"),
        "browser tests are skipped, and the demo visits with a plain HTTP client",
    ),
    "postgresql": (("/usr/lib/postgresql",), "tests of the PostgreSQL ledger are skipped"),
    "openssh-server": (("/usr/sbin/sshd",), "tests of deliveries to an SFTP server are skipped"),
    "nginx": (("/usr/sbin/nginx",), "the configuration for nginx in the documents is not run"),
    "goaccess": ((), "the import benchmark runs without its peer, and the test against it is skipped"),
    "wrk": ((), "the throughput benchmark is skipped"),
}

SERVICES = {"openssh-server": "ssh", "nginx": "nginx"}  # what Debian would start as it installs them


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def environment() -> int:
    started = time.monotonic()
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if READY.exists() and READY.read_text() == wanted:
        READY.touch()
        return 0
    if not (VENV / "bin" / "pip").exists():
        say(f"Making .venv with Python {sys.version.split()[0]}")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
        if made.returncode:
            say((made.stdout + made.stderr).strip())
            say("error: python3 -m venv failed (on Debian it needs the package python3-venv)")
            return 2
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    total = len(PACKAGE.findall(LOCK.read_text()))
    say(f"Installing {total} locked packages, each checked by its hash (a minute or two)")
    if not follow([*pip, "--require-hashes", "-r", str(LOCK)], total):
        return 2
    if not follow([*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)], 1):
        return 2
    READY.write_text(wanted)
    say(f"Ready after {time.monotonic() - started:.0f} s")
    return 0


def follow(command: list[str], total: int) -> bool:
    """Run pip, show how far it is, and its last words if it fails."""
    last_lines: list[str] = []
    seen = 0
    shown = 0
    on_terminal = sys.stderr.isatty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            last_lines = [*last_lines[-20:], line.rstrip()]
            if line.startswith(("Collecting ", "Ignoring ", "Requirement already ")):
                seen += 1
            elif line.startswith("Installing collected packages") and total > 1:
                say(("\r" if on_terminal else "") + "  unpacking" + " " * 40)
            tenth = 10 * seen // total
            if on_terminal and total > 1 and seen < total:
                print(f"\r  {seen} of {total}", end="", file=sys.stderr, flush=True)
            elif tenth > shown and total > 1:
                shown = tenth
                say(f"  {seen} of {total}")
    if pip.returncode:
        say("\n".join(last_lines))
        say("error: pip could not install the locked packages")
    return pip.returncode == 0


def programs(names: list[str]) -> int:
    """Install what is missing with apt-get when root may; otherwise say what is skipped. Never a failure."""
    missing = [name for name in names if not present(name)]
    if not missing:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"Installing with apt-get: {', '.join(missing)}")
        if "postgresql" in missing:
            keep_quiet_about_clusters()
        for name, service in SERVICES.items():
            if name in missing:
                keep_from_listening(name, service)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=noninteractive, **quiet)
        for name in missing:
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
            install += ["-o", "Dpkg::Options::=--force-confold", name]
            subprocess.run(install, env=noninteractive, **quiet)
    for name in missing:
        if not present(name):
            say(f"Without {name}: {PROGRAMS[name][1]}.")
    return 0


def present(name: str) -> bool:
    return bool(shutil.which(name)) or any(Path(place).exists() for place in PROGRAMS[name][0])


def keep_quiet_about_clusters() -> None:
    """Debian starts a database server on installation unless this says no; the tests start their own."""
    settings = Path("/etc/postgresql-common/createcluster.conf")
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\nstart_conf = manual\n")


def keep_from_listening(name: str, service: str) -> None:
    """Nobody asked for a server: Debian would start one now and at every boot. Tests start their own."""
    unit = Path(f"/etc/systemd/system/{service}.service")
    if not unit.is_symlink() and not unit.exists():
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.symlink_to("/dev/null")
        say(
            f"The tests need the program of {name} only: its service stays off (`systemctl unmask {service}` allows it)"
        )
    invoked = Path("/usr/sbin/policy-rc.d")  # asked by packages on machines without systemd
    ours = '#!/bin/sh\ncase "$1" in {}) exit 101;; esac\nexit 0\n'
    if not invoked.exists() or invoked.read_text() == ours.format("ssh"):
        invoked.write_text(ours.format("|".join(SERVICES.values())))
        invoked.chmod(0o755)


if __name__ == "__main__":
    if sys.argv[1:2] == ["environment"]:
        sys.exit(environment())
    if sys.argv[1:2] == ["programs"]:
        sys.exit(programs(sys.argv[2:]))
    sys.exit("usage: setup.py environment | setup.py programs NAME...")
