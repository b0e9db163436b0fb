"""A log is read ahead of the engine: the same text in pieces, and nothing left over however early it ends."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.imports import reading_ahead
from analytics.ingest import reading
from analytics.ingest.accesslog import import_log
from analytics.ingest.logfile import LogFile
from analytics.ingest.marks import Marks
from analytics.ingest.reading import LANES, Reading
from analytics.store import Store, open_store

LINE = '81.2.69.{} - - [13/Nov/2026:10:00:{:02d} +0000] "GET /{} HTTP/1.1" 200 9 "-" "Mozilla/5.0"\n'


def written(path: Path, first: int, last: int) -> Path:
    with path.open("a") as file:
        file.writelines(LINE.format(number % 250, number % 60, number) for number in range(first, last))
    os.utime(path, (0, 0))  # nobody writes it any more
    return path


def texts(begun: Reading) -> list[bytes]:
    found = []
    while (piece := begun.next()) is not None:
        found.append(Path(piece.slot.path).read_bytes())
        assert (piece.length, piece.checksum) == (len(found[-1]), zlib_of(found))
        begun.give_back(piece.slot)
    return found


def zlib_of(parts: list[bytes]) -> int:
    marks = Marks()
    for part in parts:
        marks.feed(memoryview(part))
    return marks.checksum


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(100, 9000))
def test_pieces_are_the_text_of_the_log(tmp_path_factory: pytest.TempPathFactory, lines: int, size: int) -> None:
    path = written(tmp_path_factory.mktemp("log") / "access.log", 0, lines)
    begun = Reading.of(path, size)
    try:
        found = texts(begun)
    finally:
        begun.close()
    assert b"".join(found) == path.read_bytes()
    assert all(part.endswith(b"\n") for part in found)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_each_lane_of_the_engine_gets_as_many_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(reading, "SLACK", 200)  # a piece is much longer than that, as it really is
    size = 9000
    path = written(tmp_path / "access.log", 0, int((LANES * turns - 0.2) * size) // len(LINE))
    begun = Reading.of(path, size)
    try:
        found = texts(begun)
    finally:
        begun.close()
    assert len(found) == LANES * turns
    assert max(map(len, found)) <= size


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_who_stops_early_gets_threads_and_files_back(tmp_path: Path, taken: int) -> None:
    path = written(tmp_path / "access.log", 0, 2000)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    begun = Reading.of(path, 9000)
    for _ in range(taken):
        begun.next()
    begun.close()
    begun.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)


def test_what_goes_wrong_in_reading_is_told_where_the_piece_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: LogFile, target: memoryview) -> int:
        raise MemoryError("no memory")

    path = written(tmp_path / "access.log", 0, 10)
    log = LogFile(path)
    monkeypatch.setattr(LogFile, "readinto", broken)
    begun = Reading(log, Marks(), 9000)
    try:
        with pytest.raises(MemoryError):
            begun.next()
    finally:
        begun.close()


def test_a_log_that_is_known_goes_on_where_it_stopped_although_it_was_read_ahead(tmp_path: Path) -> None:
    path = written(tmp_path / "access.log", 0, 400)
    options = {"site": "example.org", "basis": "imported", "allowed": frozenset[str](), "piece_bytes": 9_000}

    def imported(store: Store) -> int:
        begun = Reading.of(path, 9_000)
        try:
            return import_log(store, tmp_path / "var", path, ahead=begun, **options).lines  # type: ignore[arg-type]  # as given
        finally:
            begun.close()

    with open_store(None, tmp_path / "var") as store:
        assert imported(store) == 400
        written(path, 400, 500)
        assert imported(store) == 100
        assert imported(store) == 0
        assert store.query("SELECT count(), uniqExact(path) FROM events") == [(500, 500)]


def test_a_command_that_ends_before_its_import_leaves_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "access.log", 0, 2000)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), reading_ahead(path):
        raise ZeroDivisionError
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)
