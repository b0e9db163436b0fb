"""Running it for long: the metrics of the Grafana dashboard, logs without people, backup and restore, upgrades."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.ingest.loader import load_pending
from analytics.logs import JsonLines
from analytics.store import open_store
from analytics.store.migrations import SCHEMA, migrate
from consent_middleware.ledger import open_ledger
from consent_middleware.ledger.heads import seal
from consent_middleware.ledger.ledger import LEDGER_FILE
from tests.ingest.rows import POLICY, row, spool_rows
from tests.ledger.parts import fill
from tests.ledger.test_verifying import checked
from tests.reports.test_service_process import Running

ROOT = Path(__file__).resolve().parents[2]


def test_the_grafana_dashboard_asks_for_metrics_that_the_service_has(tmp_path: Path) -> None:
    dashboard = json.loads((ROOT / "docs" / "howto" / "grafana-dashboard.json").read_text("utf-8"))
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"analytics_\w+", target["expr"])
    }
    running = Running(tmp_path)
    try:
        running.get("/readyz")
        told = set(re.findall(r"^(analytics_\w+)", running.get("/metrics", running.token)[1].decode(), re.MULTILINE))
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.communicate(timeout=60)
    assert asked
    assert asked <= told


def test_a_line_of_the_log_is_json_and_quotes_nobody() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.Logger("analytics")
    log.addHandler(handler)
    try:
        raise ValueError("row of 203.0.113.77, Mozilla/5.0, mary@example.net")
    except ValueError:
        log.exception("could not %s", "load spooled segments")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"]) == ("error", "analytics", "could not load spooled segments")
    assert line["error"] == "ValueError"
    assert line["where"][-1].endswith("test_a_line_of_the_log_is_json_and_quotes_nobody")
    assert not re.search(r"203\.0|Mozilla|mary", stream.getvalue())


def test_the_service_logs_no_address_and_no_query(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analytics", "serve", "--port", "0", "--logs", "json", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        url = url or next(iter(re.findall(r"http://\S+", line)), "")
        if line.startswith("Ready"):
            break
    import urllib.error
    import urllib.request

    for path in ("/?x=mary@example.net", "/login?next=/mary", "/api/sites"):
        request = urllib.request.Request(
            url + path, headers={"user-agent": "Mozilla/5.0 Mary", "authorization": "Bearer x"}
        )
        with pytest.raises(urllib.error.HTTPError) if path.startswith("/api") else open("/dev/null"):
            urllib.request.urlopen(request, timeout=30).read()
    process.send_signal(signal.SIGTERM)
    _, logs = process.communicate(timeout=60)
    assert not re.search(r"127\.0\.0\.1|[Mm]ary|Mozilla", logs)
    assert all(json.loads(line)["level"] for line in logs.splitlines())


def test_a_backup_after_the_manual_comes_back_whole(tmp_path: Path) -> None:
    """docs/howto/operations.md, step by step: the ledger by SQLite while it is open, the store copied when closed."""
    live, saved, restored = (tmp_path / name for name in ("live", "saved", "restored"))
    import asyncio

    ledger = open_ledger(live)
    asyncio.run(fill(ledger, 5, refusals=2))
    seal(ledger)
    saved.mkdir()
    copy = "from pathlib import Path; import sqlite3, sys\na, b = map(sqlite3.connect, sys.argv[1:])\na.backup(b)\n"
    subprocess.run([sys.executable, "-c", copy, str(live / LEDGER_FILE), str(saved / "ledger.sqlite3")], check=True)
    asyncio.run(fill(ledger, 1))
    ledger.close()
    spool_rows(live, [row(i) for i in range(40)])
    with open_store(None, live) as store:
        load_pending(store, live, POLICY)
    for folder in ("store", "keys"):
        shutil.copytree(live / folder, saved / folder, symlinks=True)
    shutil.rmtree(live)

    (restored / Path(LEDGER_FILE).parent).mkdir(parents=True)
    shutil.copy(saved / "ledger.sqlite3", restored / LEDGER_FILE)
    for folder in ("store", "keys"):
        shutil.copytree(saved / folder, restored / folder, symlinks=True)
    again = open_ledger(restored)
    report = checked(again)
    assert report.findings == ()
    assert report.entries == 7
    asyncio.run(fill(again, 1))
    assert checked(again).findings == ()
    again.close()
    with open_store(None, restored) as store:
        assert store.query("SELECT count(), uniqExact(path) FROM events") == [(40, 40)]
        assert load_pending(store, restored, POLICY).rows == 0


def test_a_store_of_the_first_schema_is_brought_up_to_date_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    shutil.copy(SCHEMA / "0001_events.sql", first)
    import analytics.store.migrations as migrations

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "SCHEMA", first)
        with open_store(None, tmp_path / "data") as store:
            store.command(
                "INSERT INTO events (site, time, kind, path, basis) VALUES ('s', now64(3), 'view', '/a', 'consent')"
            )
    later = sorted(
        path.stem for path in SCHEMA.glob("*.sql") if "cluster" not in path.stem and not path.stem.startswith("0001")
    )
    with open_store(None, tmp_path / "data", migrate=False) as store:
        assert migrate(store) == later
        assert migrate(store) == []
        spool_rows(tmp_path / "data", [row(i) for i in range(5)])
        assert load_pending(store, tmp_path / "data", POLICY).rows == 5
        assert store.query("SELECT count() FROM events") == [(6,)]


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_and_verifies(tmp_path: Path) -> None:
    import asyncio

    import consent_middleware.ledger as package

    folder = Path(package.__file__).parent / "sql" / "sqlite"
    database = tmp_path / LEDGER_FILE
    database.parent.mkdir(parents=True)
    connection = sqlite3.connect(database)
    connection.executescript((folder / "0001_ledger.sql").read_text("utf-8"))
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    ledger = open_ledger(tmp_path)
    asyncio.run(fill(ledger, 3))
    assert checked(ledger).findings == ()
    ledger.close()
