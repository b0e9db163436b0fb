"""A store that answers slowly, or not in time: rows wait in the spool and arrive once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from analytics.ingest.loader import load_pending
from analytics.store import StoreUnavailable, open_store
from tests.ingest.rows import POLICY, row, spool_rows
from tests.store.test_http_store import Server, stored


def test_a_store_slower_than_our_patience_gets_every_row_once(tmp_path: Path) -> None:
    server = Server(tmp_path / "engine")
    try:
        with open_store(f"http://127.0.0.1:{server.port}/default?timeout=20", tmp_path) as patient:
            assert patient.query("SELECT count() FROM events") == [(0,)]
        with open_store(f"http://127.0.0.1:{server.port}/default?timeout=1", tmp_path) as store:
            spool_rows(tmp_path, [row(i) for i in range(50)])
            server.faults(slow=1.3)
            refused = 0
            for _ in range(2):
                try:
                    load_pending(store, tmp_path, POLICY)
                except StoreUnavailable:
                    refused += 1
            assert refused
            assert list((tmp_path / "spool").rglob("*.rows")), "what is not known to have arrived is kept"
            server.faults()
            load_pending(store, tmp_path, POLICY)
            assert stored(store) == Counter(range(50))
        assert list((tmp_path / "spool").rglob("*.rows")) == []
    finally:
        server.stop()
