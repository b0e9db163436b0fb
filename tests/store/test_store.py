"""The store: one owner a folder, migrations that can't change behind one's back, retention, clear errors."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analytics.store import StoreError, StoreInUse, open_store
from analytics.store import migrations as migrating
from analytics.store.migrations import filled, set_retention, statements
from tests.ingest.rows import POLICY
from tests.store.sample import fill

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_that_another_process_holds_is_named_with_its_holder(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from analytics.store import open_store; "
        "store = open_store(None, Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse, match=rf"in use by process {holder.pid} .* one process per folder"):
            open_store(None, tmp_path)
    finally:
        holder.kill()
        holder.wait()
    open_store(None, tmp_path).close()


def test_one_process_opens_readers_beside_the_writer_and_another_folder_afterwards(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with open_store(None, tmp_path / name) as store, open_store(None, tmp_path / name, mode="ro") as reader:
            fill(store, 100)
            assert reader.query("SELECT count() FROM events") == [(100,)]


def test_the_engine_is_not_imported_by_the_web_process() -> None:
    program = (
        "import sys, consent_middleware.middleware, consent_middleware.services; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('chdb', 'clickhouse_connect', 'analytics')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_engine_the_way_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.store.client.importlib.util.find_spec", lambda name: None)
    with pytest.raises(Exception, match=r'pip install "consent-middleware\[embedded\]"'):
        open_store(None, tmp_path)


def test_a_migration_that_changed_after_it_was_applied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = tmp_path / "schema"
    schema.mkdir()
    for path in migrating.SCHEMA.glob("*.sql"):
        (schema / path.name).write_text(path.read_text())
    monkeypatch.setattr(migrating, "SCHEMA", schema)
    with open_store(None, tmp_path / "var") as store:
        (schema / "0009_more.sql").write_text("CREATE TABLE more (a UInt8) ENGINE = Memory;\n")
        assert migrating.migrate(store) == ["0009_more"]
        assert migrating.migrate(store) == []
        (schema / "0009_more.sql").write_text("CREATE TABLE more (a UInt16) ENGINE = Memory;\n")
        with pytest.raises(StoreError, match=r"0009_more\.sql was changed after it was applied"):
            migrating.migrate(store)


def test_rows_past_their_time_go_and_imported_ones_count_from_their_import(tmp_path: Path) -> None:
    old = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=60)
    with open_store(None, tmp_path) as store:
        for basis in ("consent", "imported"):
            fill(store, 100, first=old, last=old, basis=basis)
        set_retention(store, POLICY.retention.raw_days)
        store.command("OPTIMIZE TABLE events FINAL")
        for _ in range(50):
            left = store.query("SELECT basis, count() FROM events GROUP BY basis")
            if left == [("imported", 100)]:
                break
            time.sleep(0.2)
        assert left == [("imported", 100)]
        set_retention(store, 90)
        assert "toIntervalDay(90)" in store.query("SHOW CREATE TABLE events")[0][0]


def test_a_row_takes_less_than_sixty_bytes_of_disk(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        fill(store, 200_000, visitors=50_000)
        [(size,)] = store.query(
            "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = 'events'"
        )
        assert size < 60


def test_the_schema_of_a_cluster_is_replicated_sharded_by_visitor_and_parses(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        store.cluster = "main"
        ddl = [
            one
            for path in sorted(migrating.SCHEMA.glob("*.sql"))
            for one in statements(filled(path.read_text(), store))
        ]
        store.cluster = ""
        text = "\n".join(ddl)
        assert "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')" in text
        assert "cityHash64(visitor)" in text
        assert all("ON CLUSTER 'main'" in one for one in ddl)
        for one in ddl:
            store.query("SELECT formatQuery({sql:String})", {"sql": one})
