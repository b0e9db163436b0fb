"""The demo's processes: each in a group of its own, none left behind however the demo ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent.parent
PR_SET_PDEATHSIG = 1


class DemoError(Exception):
    """The demo can't go on; the message says why, in one line."""


def free_port(wanted: int) -> int:
    """The wanted port when nobody listens on it, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")


def _die_with_parent() -> None:
    """On Linux, ask for SIGTERM when the demo itself is killed without a chance to clean up."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """Starts programs with their output in log files, and stops them all on leaving."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        for name in reversed(list(self.running)):
            self.stop(name)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `python ARGUMENTS` as `name`."""
        with self.log(name).open("ab") as output:
            self.running[name] = _popen([sys.executable, *arguments], environment, output)

    def run(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run `python ARGUMENTS` to its end and give its standard output. Raises DemoError when it fails."""
        with self.log(name).open("wb") as errors:
            process = _popen([sys.executable, *arguments], environment, subprocess.PIPE, errors)
            self.running[name] = process
            output, _ = process.communicate()
        del self.running[name]
        text = output.decode(errors="replace")
        if process.returncode:
            raise DemoError(f"{name} ended with exit code {process.returncode}: {_last_line(self.log(name), text)}")
        return text

    def stop(self, name: str) -> None:
        """Ask politely, then insist; children of the process included."""
        process = self.running.pop(name, None)
        if process is None:
            return
        for demand, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(demand)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
        # Whatever it started and did not stop is in its process group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def wait_until(self, name: str, ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Wait for `ready()`. Raises DemoError when the process ends before, or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            process = self.running.get(name)
            if process is None or process.poll() is not None:
                raise DemoError(f"{name} stopped: {_last_line(self.log(name))}")
            if time.monotonic() > deadline:
                raise DemoError(f"{name}: {what} took more than {seconds:.0f} s (see {self.log(name)})")
            time.sleep(0.1)


def answers(url: str) -> Callable[[], bool]:
    """A check that something answers at `url`, whatever it says."""

    def check() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    return check


def _popen(
    command: list[str],
    environment: Mapping[str, str] | None,
    output: int | IO[bytes],
    errors: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    # Settings of the caller's shell must not leak into the demo.
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("CONSENT_", "ANALYTICS_", "LAW_GROUP_"))
    }
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**clean, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors if errors is not None else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _last_line(log: Path, output: str = "") -> str:
    lines = (output + "\n" + log.read_text(errors="replace")).strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
