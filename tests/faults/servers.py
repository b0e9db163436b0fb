"""The site of these tests under uvicorn, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.interop.servers import free_port

ROOT = Path(__file__).parents[2]


class Server(msgspec.Struct, frozen=True):
    port: int
    pid: int
    data_dir: Path


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Ends with the servers gone. Raises RuntimeError with the server's own words when it does not start."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "tests.faults.site:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    environment = {"CONSENT_SECRET_KEYS": "the key of this test", "CONSENT_DATA_DIR": str(folder / "var")}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        for _ in range(600):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        yield Server(port, process.pid, folder / "var")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
