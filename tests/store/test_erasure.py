"""An erased visitor is gone from every file: store, spool, quarantine, and what the engine keeps of its statements."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from analytics import errands, subject
from analytics.cli.erase import erase
from analytics.ingest import loader, quarantine
from analytics.ingest.loader import load_pending
from analytics.ingest.segments import SYNCED_SECONDS
from analytics.store import Store, open_store
from consent_middleware.capture import visitor_key
from consent_middleware.rights.desk import Desk
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits
from tests.ingest.rows import POLICY, POLICY_TEXT, QUICK, row, spool_rows

MARY, JOHN = 0xA1B2C3D4E5F60718, 0x0102030405060708


def places(data_dir: Path, visitor: int) -> list[str]:
    """Files that hold the key: as a number in text, or as the engine writes it."""
    needles = [str(visitor).encode(), struct.pack("<Q", visitor), struct.pack(">Q", visitor)]
    found = []
    for path in data_dir.rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:  # the engine takes old parts away while we look
            continue
        if any(needle in content for needle in needles):
            found.append(str(path.relative_to(data_dir)))
    return found


def wait_until_gone(store: Store, data_dir: Path, visitor: int) -> list[str]:
    for _ in range(100):
        load_pending(store, data_dir, POLICY)  # what the service does every two seconds
        left = places(data_dir, visitor)
        if not left:
            return []
        time.sleep(0.1)
    return left


@pytest.fixture
def plain_store(tmp_path: Path) -> Store:
    """A store whose column of keys is not compressed, so that a search of the files finds what is there."""
    store = open_store(None, tmp_path)
    store.command("ALTER TABLE events MODIFY COLUMN visitor UInt64 CODEC(NONE)")
    yield store
    store.close()


def ask(data_dir: Path, kind: str, visitor: int, ticket: str) -> None:
    spool = Spool(data_dir / "spool", QUICK)
    asyncio.run(Desk(data_dir, spool).ask(kind, visitor, ticket))
    spool.close()


def counted(store: Store) -> dict[int, int]:
    return {int(v): int(n) for v, n in store.query("SELECT visitor, count() FROM events GROUP BY visitor")}


def test_an_erasure_leaves_no_byte_of_the_visitor_anywhere(tmp_path: Path, plain_store: Store) -> None:
    spool_rows(tmp_path, [row(i, visitor=MARY if i % 3 else JOHN) for i in range(300)])
    load_pending(plain_store, tmp_path, POLICY)
    row_of_john = row(2, visitor=JOHN)
    quarantine.write(tmp_path, "t", [("reason", row(1, visitor=MARY)), ("reason", row_of_john)])
    ask(tmp_path, "restrict", MARY, "t-restrict")
    ask(tmp_path, "export", MARY, "t-export")
    ask(tmp_path, "export", JOHN, "t-other")
    load_pending(plain_store, tmp_path, POLICY)
    spool_rows(tmp_path, [row(900, visitor=MARY)])
    for number, visitor in enumerate((MARY, JOHN)):
        plain_store.command(
            "INSERT INTO numbers VALUES ('example.org', {visitor:UInt64}, {number:UInt32})",
            {"visitor": visitor, "number": number},
        )
    before = places(tmp_path, MARY)
    assert any(name.startswith("store/") for name in before)
    assert any(name.startswith("spool/") for name in before)
    assert any(name.startswith("quarantine/") for name in before)
    assert "answers/t-export.json" in before

    ask(tmp_path, "erase", MARY, "t-erase")
    load_pending(plain_store, tmp_path, POLICY)
    load_pending(plain_store, tmp_path, POLICY)

    assert counted(plain_store) == {JOHN: 100}
    assert plain_store.query("SELECT visitor FROM numbers") == [(JOHN,)]
    assert [entry.line for path in quarantine.files(tmp_path) for entry in quarantine.read(path)] == [
        row_of_john.decode()
    ]
    assert not (tmp_path / "answers" / "t-export.json").exists(), "a copy that waits to be fetched survived"
    assert (tmp_path / "answers" / "t-other.json").exists()
    assert wait_until_gone(plain_store, tmp_path, MARY) == []
    assert places(tmp_path, JOHN) != []


def test_rows_of_an_erased_visitor_in_an_older_segment_do_not_come_back(tmp_path: Path, plain_store: Store) -> None:
    late = Spool(tmp_path / "spool", QUICK.__class__(segment_seconds=60, sync_seconds=60))
    assert late.append(row(1, visitor=MARY))
    time.sleep(0.02)
    ask(tmp_path, "erase", MARY, "t-erase")
    load_pending(plain_store, tmp_path, POLICY)
    late.sync()
    load_pending(plain_store, tmp_path, POLICY)
    assert counted(plain_store) == {}
    later = row(2, visitor=MARY, time_ms=int(time.time() * 1000) + 5)
    assert late.append(later)
    late.close()
    load_pending(plain_store, tmp_path, POLICY)
    assert counted(plain_store) == {MARY: 1}, "what comes after the erasure is a new matter"


def test_a_copy_that_is_asked_for_together_with_the_erasure_holds_nothing(tmp_path: Path, plain_store: Store) -> None:
    spool_rows(tmp_path, [row(i, visitor=MARY) for i in range(5)])
    ask(tmp_path, "export", MARY, "t-export")
    ask(tmp_path, "erase", MARY, "t-erase")
    load_pending(plain_store, tmp_path, POLICY)
    answer = msgspec.json.decode((tmp_path / "answers" / "t-export.json").read_bytes())
    assert (answer["held"], answer["rows"], answer.get("visitor")) == (0, [], None)


def test_a_restored_backup_is_held_against_the_list_of_erasures(tmp_path: Path, plain_store: Store) -> None:
    spool_rows(tmp_path, [row(i, visitor=MARY) for i in range(10)])
    load_pending(plain_store, tmp_path, POLICY)
    subject.erase(plain_store, tmp_path, [MARY])
    assert str(MARY) not in (tmp_path / "erasures.json").read_text()
    plain_store.command("TRUNCATE TABLE erased")
    spool_rows(tmp_path, [row(i, visitor=v) for i, v in enumerate([MARY, MARY, JOHN])])  # the backup comes back
    load_pending(plain_store, tmp_path, POLICY)
    assert counted(plain_store) == {MARY: 2, JOHN: 1}
    assert subject.replay_erasures(plain_store, tmp_path) == 2
    assert counted(plain_store) == {JOHN: 1}


def test_an_export_answers_with_the_visitors_rows_for_the_owner_of_the_file_only(
    tmp_path: Path, plain_store: Store
) -> None:
    spool_rows(tmp_path, [row(i, visitor=MARY if i < 4 else JOHN) for i in range(10)])
    ask(tmp_path, "export", MARY, "ticket")
    assert subject.answer_pending(plain_store, tmp_path, POLICY) == 1
    path = tmp_path / "answers" / "ticket.json"
    assert path.stat().st_mode & 0o777 == 0o600
    answer = msgspec.json.decode(Desk(tmp_path, Spool(tmp_path / "spool")).answer("ticket"))
    assert answer["held"] == 4
    assert {one["path"] for one in answer["rows"]} == {"/0", "/1", "/2", "/3"}
    assert answer["rows"][0]["browser"] == "Chrome"
    assert str(JOHN) not in path.read_text()
    assert subject.answer_pending(plain_store, tmp_path, POLICY) == 0


def test_a_restriction_and_an_objection_can_be_set_and_lifted(tmp_path: Path, plain_store: Store) -> None:
    for kind, ticket in (("restrict", "a"), ("object", "b")):
        ask(tmp_path, kind, MARY, ticket)
        ask(tmp_path, kind, JOHN, ticket + "2")
    load_pending(plain_store, tmp_path, POLICY)
    for table in ("restricted", "objected"):
        assert set(plain_store.query(f"SELECT visitor FROM {table}")) == {(MARY,), (JOHN,)}
    ask(tmp_path, "unrestrict", MARY, "c")
    load_pending(plain_store, tmp_path, POLICY)
    assert plain_store.query("SELECT visitor FROM restricted") == [(JOHN,)]


def test_a_refused_row_is_kept_with_the_reason_and_loaded_by_a_retry(
    tmp_path: Path, plain_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = row(7).replace(b'"view"', b'"glance"')
    spool_rows(tmp_path, [row(1), bad, b"no row at all", row(2)])
    summary = load_pending(plain_store, tmp_path, POLICY)
    assert (summary.rows, summary.quarantined) == (2, 2)
    [path] = quarantine.files(tmp_path)
    entries = quarantine.read(path)
    assert {entry.line for entry in entries} == {bad.decode(), "no row at all"}
    assert all(entry.reason for entry in entries)
    quarantine.write(tmp_path, path.stem, [("was mended by hand", row(7)), ("", b"no row at all")])
    summary = loader.retry_quarantine(plain_store, tmp_path, loader.LoadSummary())
    assert (summary.rows, summary.quarantined) == (1, 1)
    assert plain_store.query("SELECT path FROM events ORDER BY path") == [("/1",), ("/2",), ("/7",)]


def test_a_visitor_that_nobody_knows_is_no_erasure_of_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "privacy.toml"
    policy.write_text(
        "revision = 1\nupdated = 2026-11-20\n[controller]\nname = 'Example'\n[site]\nhosts = ['example.org']\n"
        "[[purpose]]\nid = 'necessary'\nrequired = true\n[[purpose]]\nid = 'analytics'\n"
    )
    spool_rows(tmp_path / "var", [row(1, visitor=visitor_key("A" * 22))])
    command = [sys.executable, "-m", "analytics", "erase", "--policy", policy, "--data-dir", tmp_path / "var"]
    mistyped, right = (
        subprocess.run([*command, name], capture_output=True, text=True, check=False) for name in ("A" * 21, "A" * 22)
    )
    assert mistyped.returncode == 1
    assert "no visitor" in mistyped.stderr
    assert "has 22 letters, digits, - or _; this one has 21" in mistyped.stderr
    assert (right.returncode, right.stdout) == (0, "1 row erased, 0 left\n")


def test_a_visitor_is_known_whose_only_row_no_block_holds_yet(tmp_path: Path, plain_store: Store) -> None:
    """The visit was a moment ago: the worker that wrote it lives, and syncs it within its second."""
    assert 2 * SpoolLimits().sync_seconds < SYNCED_SECONDS
    spool = Spool(tmp_path / "spool", SpoolLimits(sync_seconds=1.0))
    spool.append(row(1, visitor=MARY))
    assert errands.find(plain_store, tmp_path, POLICY, MARY)
    spool.close()


def test_a_visitor_is_known_by_a_switch_or_a_line_in_the_quarantine(tmp_path: Path, plain_store: Store) -> None:
    assert not subject.is_known(plain_store, tmp_path, MARY)
    quarantine.write(tmp_path, "t", [("reason", row(1, visitor=MARY))])
    assert subject.is_known(plain_store, tmp_path, MARY)
    assert not subject.is_known(plain_store, tmp_path, JOHN)
    ask(tmp_path, "restrict", JOHN, "t")
    load_pending(plain_store, tmp_path, POLICY)
    assert subject.is_known(plain_store, tmp_path, JOHN)


def test_the_command_says_when_rows_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes the mutation and does nothing must not pass for an erasure."""
    spool_rows(tmp_path / "var", [row(1, visitor=MARY)])
    monkeypatch.setattr(subject, "delete_erased", lambda store: None)
    (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
    options = ["--key", str(MARY), "--policy", str(tmp_path / "privacy.toml"), "--data-dir", str(tmp_path / "var")]
    done = CliRunner().invoke(erase, options, standalone_mode=False)
    assert (done.return_value, done.output) == (1, "1 row erased, 1 left\n")


def test_a_second_erasure_reaches_the_rows_that_came_after_the_first(tmp_path: Path, plain_store: Store) -> None:
    now = int(time.time() * 1000)
    plain_store.command(
        "INSERT INTO erased (visitor, site, time) VALUES ({visitor:UInt64}, '', {time:DateTime64(3)})",
        {"visitor": MARY, "time": subject._time(now - 60_000)},
    )
    plain_store.command(
        "INSERT INTO events (visitor, site, time) VALUES ({visitor:UInt64}, 'x', {time:DateTime64(3)})",
        {"visitor": MARY, "time": subject._time(now - 1_000)},
    )
    assert subject.erase(plain_store, tmp_path, [MARY]) == {MARY: 1}
    assert counted(plain_store) == {}
