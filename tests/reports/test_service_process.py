"""`analytics serve` as a process: starts, answers, keeps others out, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Running:
    def __init__(self, data_dir: Path, *options: str) -> None:
        self.process = start(data_dir, "--port", "0", *options)
        assert self.process.stdout is not None
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Ready"):
                break
        text = "".join(self.lines)
        found = re.search(r"http://\S+", text)
        assert found, text + (self.process.stderr.read() if self.process.stderr else "")
        self.url = found[0]
        token = re.search(r"stored hashed\): (\S+)", text)
        self.token = token[1] if token else ""

    def get(self, path: str, token: str = "", accept: str = "*/*") -> tuple[int, bytes]:
        return self.send(path, None, token, accept)

    def send(self, path: str, body: Any, token: str = "", accept: str = "*/*") -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"accept": accept})
        if token:
            request.add_header("authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def start(data_dir: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "analytics", "serve", "--data-dir", str(data_dir), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=data_dir)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    service = Running(tmp_path)
    yield service
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
    service.process.communicate(timeout=60)


def test_it_answers_shows_its_token_once_and_stops_on_sigterm_leaving_nothing(running: Running, tmp_path: Path) -> None:
    assert running.get("/healthz") == (200, b"ok\n")
    assert running.get("/readyz")[0] == 200
    assert running.get("/nothing") == (404, b"Not Found")
    status, page = running.get("/nothing", accept="text/html")
    assert (status, b"No such page" in page, b'href="/"' in page) == (404, True, True)
    assert running.get("/metrics")[0] == 401
    metrics = running.get("/metrics", running.token)[1]
    assert b"analytics_job_runs" in metrics
    assert b'analytics_http_requests_total{method="GET",status="401"} 1.0' in metrics
    contact = tmp_path / "service.json"
    assert stat.S_IMODE(contact.stat().st_mode) == 0o600
    assert running.token not in (tmp_path / "access.json").read_text()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert not contact.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    again = Running(tmp_path)
    assert again.token == ""
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(again.process.pid, 0)


def test_a_second_service_on_the_folder_or_the_port_gets_one_clear_line(running: Running, tmp_path: Path) -> None:
    second = start(tmp_path, "--port", "0")
    _, error = second.communicate(timeout=60)
    assert second.returncode == 2
    assert error.startswith("error: ")
    assert "in use" in error
    assert error.count("\n") == 1
    other = tmp_path / "other"
    other.mkdir()
    third = start(other, "--port", running.url.rpartition(":")[2])
    _, error = third.communicate(timeout=60)
    assert third.returncode == 2
    assert "cannot listen on 127.0.0.1" in error
    assert error.count("\n") == 1


def test_report_asks_the_running_service_and_says_when_there_is_nothing(running: Running, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analytics", "report", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "nothing is stored yet" in done.stderr


def test_a_port_that_is_taken_by_a_stranger_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(tmp_path, "--port", str(taken.getsockname()[1]))
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "choose another --port" in error
