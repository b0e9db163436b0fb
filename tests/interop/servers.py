"""Starts an example under a real server on a free port."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
UVICORN = ("uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning")
COMMANDS = {
    "uvicorn": (*UVICORN, "--loop", "asyncio", "--http", "h11"),
    # What `uvicorn[standard]` installs, and most sites run.
    "uvicorn-standard": (*UVICORN, "--loop", "uvloop", "--http", "httptools"),
    "hypercorn": ("hypercorn", "{app}", "--bind", "127.0.0.1:{port}", "--log-level", "WARNING"),
    "granian": (
        *("granian", "--interface", "asgi", "--loop", "asyncio", "--host", "127.0.0.1", "--port", "{port}", "{app}"),
    ),
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serving(
    app: str, server: str, folder: Path, python: str | Path = sys.executable, root: Path = ROOT, **environment: str
) -> Iterator[int]:
    """The port of `app` under `server`; its data lies in `folder`. Raises RuntimeError with the server's own words."""
    port = free_port()
    arguments = [part.format(app=app, port=port) for part in COMMANDS[server]]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", *arguments],
            cwd=root,
            stdout=output,
            stderr=output,
            env={
                **os.environ,
                "CONSENT_SECRET_KEYS": "the key of this test",
                "CONSENT_DATA_DIR": str(folder / "var"),
                **environment,
            },
        )
    try:
        for _ in range(600):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                yield port
                return
            time.sleep(0.1)
        raise RuntimeError(log.read_text())
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
