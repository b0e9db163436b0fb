"""A loader that loads again and again until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from analytics.ingest import loader
from analytics.store import open_store
from tests.ingest.rows import POLICY

loader.BATCH_ROWS = 400  # many batches, so that a kill falls between any two steps

with open_store(None, Path(sys.argv[1])) as store:
    print("open", flush=True)
    while True:
        loader.load_pending(store, Path(sys.argv[1]), POLICY)
        time.sleep(0.01)
