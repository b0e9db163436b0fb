"""My data, as of when: a copy holds what was captured before it was asked for, and is asked for anew."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from analytics import subject
from analytics.ingest.loader import load_pending
from analytics.ingest.segments import SYNCED_SECONDS, segments
from analytics.store import Store, open_store
from consent_middleware.rights import copies
from consent_middleware.rights.copies import ASK_SECONDS
from consent_middleware.rights.desk import MARK_SECONDS, remove_old_answers
from consent_middleware.spool import Spool
from consent_middleware.spool_values import Control, Kind, SpoolLimits
from consent_middleware.visit import visitor_key
from tests.ingest.rows import row
from tests.pages.sites import browser, law_group, post, words
from tests.pages.test_my_data import asked

DATA = "/_consent/data"
JSON = f"{DATA}?format=json"
POLICY = law_group()
SITE = POLICY.site.site_id


@pytest.fixture
def agreed(tmp_path: Path) -> TestClient:
    visitor = browser(tmp_path)
    post(visitor, "accept")
    return visitor


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(None, tmp_path / "var")
    yield store
    store.close()


def key_of(visitor: TestClient) -> int:
    return visitor_key(visitor.cookies["__Host-visitor"])


def serve(folder: Path, store: Store, until: Any) -> None:
    """What the service does, more often than it does it."""
    ends = time.monotonic() + 30
    while not until():
        assert time.monotonic() < ends, "no answer came"
        subject.answer_pending(store, folder / "var", POLICY)


def fetched(visitor: TestClient, folder: Path, store: Store, address: str = JSON) -> Any:
    serve(folder, store, lambda: visitor.get(address).status_code == 200)
    return visitor.get(address)


def paths(copy: Any) -> set[str]:
    return {one["path"] for one in copy.json()["rows"] if one.get("name", "pageview") == "pageview"}


def grow_old(folder: Path, seconds: float) -> None:
    """As if what lies at the desk had been asked for so much earlier."""
    for path in (folder / "var" / "answers").iterdir():
        if path.suffix == ".asked":
            path.write_text(" ".join(str(max(0, int(n) - int(seconds * 1000))) for n in path.read_text().split()))
        else:
            held = json.loads(path.read_bytes())
            as_of = dt.datetime.fromisoformat(held["as_of"]) - dt.timedelta(seconds=seconds)
            path.write_text(json.dumps({**held, "as_of": as_of.isoformat()}))


def exports(folder: Path) -> int:
    return sum(record["kind"] == "export" for record in asked(folder))


def test_a_copy_holds_the_views_of_a_moment_ago(agreed: TestClient, tmp_path: Path, store: Store) -> None:
    for path in ("/", "/about"):
        agreed.get(path)
    assert agreed.get(JSON).status_code == 202
    assert {"/", "/about"} <= paths(fetched(agreed, tmp_path, store))


def test_a_copy_waits_for_what_another_worker_has_not_synced(agreed: TestClient, tmp_path: Path, store: Store) -> None:
    other = Spool(tmp_path / "var" / "spool", SpoolLimits(sync_seconds=1.0))
    assert other.append(row(1, visitor=key_of(agreed), site=SITE))
    agreed.get(JSON)
    assert any(segment.unsynced for segment in segments(tmp_path / "var" / "spool"))
    assert "/1" in paths(fetched(agreed, tmp_path, store))
    other.close()


def test_a_worker_syncs_its_own_rows_before_it_asks(tmp_path: Path, store: Store) -> None:
    """However slow its disk is: not by waiting for the next second."""
    slow = Spool(tmp_path / "var" / "spool", SpoolLimits(sync_seconds=3600))
    assert slow.append(row(1, visitor=7, site=SITE))
    slow._control(msgspec.json.encode(Control("export", 7, "t", int(time.time() * 1000) - 1)) + b"\n")
    assert load_pending(store, tmp_path / "var", POLICY).answered == 1
    held = json.loads((tmp_path / "var" / "answers" / "t.json").read_bytes())
    assert [one["path"] for one in held["rows"]] == ["/1"]
    slow.close()


def test_a_busy_site_holds_no_copy_up_for_ever(tmp_path: Path, store: Store) -> None:
    """Somebody always has a row that is not synced yet: after SYNCED_SECONDS those of before are."""
    spool = tmp_path / "var" / "spool"
    busy = Spool(spool, SpoolLimits(sync_seconds=3600))
    now = time.time()
    busy._control(msgspec.json.encode(Control("export", 7, "t", int(now * 1000))) + b"\n")
    busy._control(msgspec.json.encode(Control("correct", 7, "c", int(now * 1000))) + b"\n")
    assert busy.append(row(1, site=SITE))
    progress, found = subject.Progress.read(spool), list(segments(spool))

    def due(at: float) -> list[str]:
        return [control.ticket for control in subject.waiting(progress, found, at).controls]

    assert due(now + 0.1) == due(now + SYNCED_SECONDS - 0.1) == [], "what comes after the copy waits with it"
    assert due(now + SYNCED_SECONDS + 0.1) == ["t", "c"]
    assert due(now - 3600) == ["t", "c"], "the clock was set back"
    busy.close()


def test_a_request_that_comes_while_others_are_answered_is_not_taken_for_one_of_them(
    agreed: TestClient, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has the ticket of the first; the pass that answers the first has not seen it."""
    kind: Kind = "erase"
    spool = Spool(tmp_path / "var" / "spool", SpoolLimits(sync_seconds=3600))

    def ask() -> None:
        spool._control(msgspec.json.encode(Control(kind, 7, "same", int(time.time() * 1000))) + b"\n")

    answer = subject.answer
    ask()
    monkeypatch.setattr(subject, "answer", lambda *given: [answer(*given), ask()][0])
    assert load_pending(store, tmp_path / "var", POLICY).answered == 1
    monkeypatch.setattr(subject, "answer", answer)
    assert [load_pending(store, tmp_path / "var", POLICY).answered for _ in range(2)] == [1, 0]
    spool.close()


def test_an_old_copy_is_shown_with_its_time_until_the_newer_one_is_there(
    agreed: TestClient, tmp_path: Path, store: Store
) -> None:
    agreed.get("/one")
    first = fetched(agreed, tmp_path, store)
    agreed.get("/two")
    assert "data-consent-waiting" not in agreed.get(DATA).text
    grow_old(tmp_path, ASK_SECONDS + 1)
    old = agreed.get(JSON)
    assert paths(old) == paths(first)
    assert old.headers["retry-after"]
    as_of = dt.datetime.fromisoformat(old.json()["as_of"])
    assert parsedate_to_datetime(old.headers["last-modified"]) == as_of.replace(microsecond=0)
    table = agreed.get(f"{DATA}?format=csv")
    assert (table.headers["last-modified"], "/one" in table.text) == (old.headers["last-modified"], True)

    page = agreed.get(f"{DATA}?lang=de").text
    assert f"Stand: {as_of:%Y-%m-%d %H:%M:%S} UTC. Was Sie seitdem getan haben, kann noch fehlen." in words(page)
    assert "/one" in page
    address = re.search(r'data-consent-waiting="([^"]+)"', page)
    assert address, "the page's script waits for the newer copy"
    awaited = address[1].replace("&amp;", "&")
    assert agreed.get(awaited).status_code == 202
    newer = fetched(agreed, tmp_path, store, awaited)
    assert paths(newer) == {*paths(first), "/two"}
    assert newer.json()["as_of"] > old.json()["as_of"]
    assert "retry-after" not in newer.headers
    assert "data-consent-waiting" not in agreed.get(DATA).text


def test_a_copy_is_asked_for_once_a_minute_whatever_a_visitor_does(
    agreed: TestClient, tmp_path: Path, store: Store
) -> None:
    other = browser(tmp_path)  # a second worker of the same site, and the same person
    other.cookies.update(agreed.cookies)
    seen = set()  # a segment that was loaded goes, with its requests
    for number in (1, 2, 3):
        for address in (DATA, JSON, f"{DATA}?format=csv", f"{JSON}&after=9{'0' * 14}", f"{JSON}&after=-x", DATA):
            agreed.get(address)
            other.get(address)
        seen |= {record["time"] for record in asked(tmp_path)}
        assert len(seen) == number, "waiting or answered, one a minute"
        load_pending(store, tmp_path / "var", POLICY)
        grow_old(tmp_path, ASK_SECONDS + 1)


def test_of_workers_that_look_at_once_one_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = copies._read
    monkeypatch.setattr(copies, "_read", lambda fd: (read(fd), time.sleep(0.01))[0])
    with ThreadPoolExecutor(8) as workers:
        looks = [workers.submit(copies.look, tmp_path, "t", None, 1000.0) for _ in range(8)]
        assert sum(asking for _, asking in (one.result() for one in looks)) == 1


def test_a_copy_of_before_a_request_is_never_shown_after_it(agreed: TestClient, tmp_path: Path, store: Store) -> None:
    """Also when it is finished after the request: it says what was true before."""
    agreed.get(JSON)
    agreed.post(f"{DATA}/restrict")
    (export,) = [record for record in asked(tmp_path) if record["kind"] == "export"]
    written = tmp_path / "var" / "answers" / f"{export['ticket']}.json"
    as_of = dt.datetime.fromtimestamp(export["time"] / 1000, dt.UTC)
    written.write_text(json.dumps({"as_of": as_of.isoformat(), "rows": [{"path": "/before"}], "restricted": False}))
    assert agreed.get(JSON).status_code == 202
    assert exports(tmp_path) == 2, "asked anew at once"
    assert fetched(agreed, tmp_path, store).json()["restricted"] is True


def test_marks_end_and_say_nothing_of_a_person(agreed: TestClient, tmp_path: Path) -> None:
    agreed.get(DATA)
    (mark,) = (tmp_path / "var" / "answers").glob("*.asked")
    assert agreed.cookies["__Host-visitor"] not in mark.name + mark.read_text()
    assert str(key_of(agreed)) not in mark.name + mark.read_text()
    assert mark.stat().st_mode & 0o777 == 0o600
    assert remove_old_answers(tmp_path / "var") == 0
    assert mark.exists()
    os.utime(mark, (0, time.time() - MARK_SECONDS - 1))
    remove_old_answers(tmp_path / "var")
    assert not mark.exists()
