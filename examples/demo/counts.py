"""Three independent counts of the same page views: the web server's, the spool's and the store's."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import IO, Any, NamedTuple

from consent_middleware.visit import SPOOL_COLUMNS

# uvicorn's access log: INFO:     127.0.0.1:50312 - "GET /members HTTP/1.1" 200 OK
ANSWERED = re.compile(r'"(?P<method>[A-Z]+) (?P<path>[^ "?]*)[^"]*" (?P<status>\d{3})')
NO_PAGES = ("/static/", "/_consent/", "/.well-known/", "/api/event", "/favicon.ico")
POLL_SECONDS = 0.2
COLUMNS = [name for name, _ in SPOOL_COLUMNS]
PAGE_VIEWS_OF_TODAY = """
SELECT countIf(kind = 'view'), countIf(kind = 'count')
FROM events
WHERE site = {site:String} AND name = 'pageview' AND time > now() - INTERVAL 1 DAY
"""


class Rows(NamedTuple):
    """Rows of page views: with a visitor's key, and identifier-free counts."""

    views: int
    counts: int

    @property
    def total(self) -> int:
        return self.views + self.counts


def served(log: Path) -> int:
    """Pages that the web server answered with content, by its own access log."""
    return sum(
        match["method"] == "GET"
        and match["status"] in {"200", "404"}
        and not match["path"].startswith(NO_PAGES)
        for match in ANSWERED.finditer(log.read_text(errors="replace"))
    )  # fmt: skip


class SpoolWatch:
    """Reads every file that appears in the spool. Open files stay readable after the loader has removed them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[Path, IO[str]] = {}
        self._text: dict[Path, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="spool watch", daemon=True)

    def __enter__(self) -> SpoolWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        for file in self._open.values():
            file.close()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for path in (*self.folder.glob("*/*.rows"), *self.folder.glob("*/*.control")):
                if path not in self._open:
                    self._open[path] = path.open(encoding="utf-8")

    def _lines(self, suffix: str) -> list[Any]:
        """What the files with that suffix hold so far, line by line."""
        found = []
        for path, file in list(self._open.items()):
            if path.suffix == suffix:
                file.seek(0)
                text = file.read().rstrip("\0")  # zeros follow the last row of an open segment
                self._text[path] = max(self._text.get(path, ""), text, key=len)
                found += [json.loads(line) for line in self._text[path].splitlines()]
        return found

    def _page_views(self) -> list[dict[str, Any]]:
        rows = (dict(zip(COLUMNS, line, strict=True)) for line in self._lines(".rows"))
        return [row for row in rows if row["name"] == "pageview"]

    def seen(self) -> Rows:
        """Page views so far."""
        kinds = Counter(row["kind"] for row in self._page_views())
        return Rows(kinds["view"], kinds["count"])

    def erased(self) -> int:
        """Page views of visitors who withdrew, up to their withdrawal: the loader erases them, or never loads them."""
        until = {line["visitor"]: line["time"] for line in self._lines(".control") if line["kind"] == "erase"}
        return sum(row["time"] <= until.get(row["visitor"], -1) for row in self._page_views() if row["visitor"])


def loaded(data_dir: Path, site: str) -> Rows:
    """Page views of the last day in the store, which nobody else may have open (one process per folder)."""
    from analytics.store import open_store

    store = open_store(None, data_dir)
    try:
        found = store.query(
            PAGE_VIEWS_OF_TODAY,
            {"site": site},
        )
    finally:
        store.close()
    return Rows(int(found[0][0]), int(found[0][1]))
