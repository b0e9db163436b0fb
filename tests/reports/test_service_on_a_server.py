"""`analytics serve --store`: the same service over a ClickHouse server, filled by the loaders of several hosts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.rows import POLICY_TEXT, row, spool_rows
from tests.reports.test_service_process import Running, start
from tests.store.test_http_store import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("engine"))
    yield running
    running.stop()


def analytics(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analytics", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_service_of_one_host_shows_what_all_hosts_loaded(server: Server, tmp_path: Path) -> None:
    hosts = [tmp_path / "first", tmp_path / "second"]
    for number, host in enumerate(hosts):
        host.mkdir()
        (host / "privacy.toml").write_text(POLICY_TEXT)
        spool_rows(host / "var", [row(index) for index in range(10 * number, 10 * number + 10)])
        assert analytics(host, "load", "--store", server.url).stdout.startswith("10 rows loaded")
    data = hosts[0] / "var"
    service = Running(data, "--store", server.url, "--policy", str(hosts[0] / "privacy.toml"))
    try:
        question = {"site_id": "example.org", "metrics": ["pageviews"], "date_range": "all"}
        status, body = service.send("/api/v2/query", question, service.token)
        assert (status, json.loads(body)["results"]) == (200, [{"dimensions": [], "metrics": [20]}]), body
        report = analytics(hosts[0], "report", "--period", "all", "--format", "json")
        assert report.returncode == 0, report.stderr
        held = json.loads(analytics(hosts[0], "doctor", "--format", "json").stdout)["held"]
        assert sum(part["rows"] for part in held) == 20, "a command without --store has the service look"
        assert service.get("/", service.token, "text/html")[0] == 200
        assert not (data / "store").exists(), "no engine of its own beside the server"
        second = start(data, "--port", "0", "--store", server.url)
        _, errors = second.communicate(timeout=60)
        assert (second.returncode, "another `analytics serve` works on this data folder" in errors) == (2, True), errors
    finally:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        service.process.communicate()


def test_a_server_that_is_away_is_told_and_exit_2(tmp_path: Path) -> None:
    done = analytics(tmp_path, "serve", "--port", "0", "--store", "http://127.0.0.1:9/default")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the store can't be reached: "), done.stderr
