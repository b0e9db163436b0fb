"""A log is imported once however its copies were cut, packed and rotated, and the reason for doing nothing is said."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.ingest import checkpoint
from analytics.ingest.accesslog import ImportSummary, import_log
from analytics.ingest.marks import CLOSEST, MOST, Marks
from analytics.store import Store, open_store
from consent_middleware.lazy import UserError

FEW = 700


def in_members(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Members or frames of 8 kB, so that a file that is cut off holds some text."""
    return lambda text: b"".join(compress(text[start : start + 8000]) for start in range(0, len(text), 8000))


PACKERS = {"": bytes, "gz": gzip.compress, "zst": in_members(zstandard.ZstdCompressor().compress)}


def lines(seed: int, count: int = FEW) -> bytes:
    """Lines of which no two are alike, beginning with one that is the same for every seed."""
    chance = random.Random(seed)
    first = '81.2.69.1 - - [13/Nov/2026:10:00:00 +0000] "GET /first HTTP/1.1" 200 1 "-" "A"\n'
    return "".join(
        first
        if number == 0
        else f"81.2.69.{chance.randrange(256)} - - [13/Nov/2026:10:00:{number % 60:02d} +0000] "
        f'"GET /{seed}/{number} HTTP/1.1" 200 {chance.randrange(9999)} "-" "B{chance.randrange(9)}"\n'
        for number in range(count)
    ).encode()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(None, tmp_path_factory.mktemp("var")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_rows(store: Store) -> None:
    store.command("TRUNCATE TABLE events")


def run(store: Store, path: Path, site: str = "example.org", **options: object) -> ImportSummary:
    given = {"basis": "imported", "allowed": frozenset[str](), "piece_bytes": 30_000} | options
    return import_log(store, path.parent / "imports", path, site=site, **given)  # type: ignore[arg-type]  # as given


def counted(store: Store) -> tuple[int, int]:
    """Rows, and how many of them differ."""
    return store.query("SELECT count(), uniqExact(site, path, time) FROM events")[0]  # type: ignore[return-value]  # two


def test_a_copy_without_its_first_lines_is_another_log_as_the_guide_says(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(3))
    assert run(store, path).lines == FEW
    path.write_bytes(b"".join(lines(3).splitlines(keepends=True)[100:]))
    assert run(store, path).lines == FEW - 100
    assert counted(store) == (2 * FEW - 100, FEW)


@pytest.mark.parametrize("missing", [1, 40_000])
def test_a_shorter_copy_is_known_again_and_that_is_said(tmp_path: Path, store: Store, missing: int) -> None:
    text = lines(1)
    path = tmp_path / "access.log"
    path.write_bytes(text)
    assert run(store, path).lines == FEW
    path.write_bytes(text[:-missing])
    found = run(store, path)
    assert (found.lines, found.rejected, found.damage) == (0, {}, None)
    assert found.nothing == (
        "this is a shorter copy of a log that was imported: its text ends at byte "
        f"{len(text) - missing:,}, and {len(text):,} were imported"
    )
    assert counted(store) == (FEW, FEW)


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_copy_that_was_cut_off_after_the_whole_log_is_nothing_new(tmp_path: Path, store: Store, packing: str) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(2))
    run(store, path)
    packed = PACKERS[packing](lines(2))
    (tmp_path / "copy").write_bytes(packed[: len(packed) // 2])
    found = run(store, tmp_path / "copy")
    assert (found.lines, found.damage) == (0, None)
    assert "shorter copy" in found.nothing
    assert "it was cut off" in found.nothing
    assert counted(store) == (FEW, FEW)


def test_a_rotated_log_grows_under_its_old_name(tmp_path: Path, store: Store) -> None:
    """access.log becomes access.log.1, later access.log.2.gz, and grew before it was moved."""
    path = tmp_path / "access.log"
    path.write_bytes(lines(3)[:40_000])
    run(store, path)
    path.rename(tmp_path / "access.log.1")
    with (tmp_path / "access.log.1").open("ab") as file:
        file.write(lines(3)[40_000:])
    path.write_bytes(lines(4).partition(b"\n")[2])  # the new one begins with another line
    assert run(store, path).lines == FEW - 1
    grown = run(store, tmp_path / "access.log.1")
    assert 0 < grown.resumed_at <= 40_000
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(lines(3)))
    assert run(store, tmp_path / "access.log.2.gz").nothing == f"all of it was imported before: {FEW} lines"
    assert counted(store) == (2 * FEW - 1, 2 * FEW - 1)


def test_a_shorter_log_that_differs_is_another_log(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.log").write_bytes(lines(5))
    run(store, tmp_path / "a.log")
    (tmp_path / "b.log").write_bytes(lines(6, 50))
    assert run(store, tmp_path / "b.log").lines == 50
    (tmp_path / "c.log").write_bytes(lines(6, 40))
    assert "shorter copy" in run(store, tmp_path / "c.log").nothing
    assert counted(store) == (FEW + 50, FEW + 49)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_whatever_is_cut_off_and_given_again_each_line_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, store: Store, data: st.DataObject
) -> None:
    """Copies of one log, each cut at random and packed at random, some of them cut off within the packing."""
    folder = tmp_path_factory.mktemp("copies")
    store.command("TRUNCATE TABLE events")
    text = lines(data.draw(st.integers(0, 10**9)))
    reached = 0
    for number in range(4):
        cut = data.draw(st.integers(100, len(text))) if number < 3 else len(text)
        packing = data.draw(st.sampled_from(list(PACKERS)))
        packed = PACKERS[packing](text[:cut])
        if packing and number < 3 and data.draw(st.booleans()):
            packed = packed[: data.draw(st.integers(len(packed) // 2, len(packed)))]
        path = folder / f"{number}.{packing}"
        path.write_bytes(packed)
        found = run(store, path)
        reached = max(reached, found.resumed_at)
        rows, distinct = counted(store)
        assert rows == distinct
    assert (rows, distinct) == (FEW, FEW)


class Interrupted(Exception):
    """Stands for the end of the process."""


def test_a_shorter_copy_does_not_go_on_with_an_interrupted_import(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was on its way may be in the store: a copy that does not reach its end can't tell."""
    path = tmp_path / "access.log"
    path.write_bytes(lines(7))
    real, left = checkpoint.write, [3]

    def dying(*arguments: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        real(*arguments)  # type: ignore[arg-type]  # as given

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", dying)
        with pytest.raises(Interrupted):
            run(store, path)
    [state] = (json.loads(one.read_text()) for one in (tmp_path / "imports" / "imports").glob("*.json"))
    assert state["sending"]
    (tmp_path / "short.log").write_bytes(lines(7)[: state["offset"] + state["sending"][0][0] // 2])
    assert "was interrupted: import that one first" in run(store, tmp_path / "short.log").nothing
    assert run(store, path).resumed_at == state["offset"]
    assert "shorter copy" in run(store, tmp_path / "short.log").nothing
    assert counted(store) == (FEW, FEW)


def test_the_file_that_remembers_a_log_stays_small(tmp_path: Path, store: Store) -> None:
    marks = Marks()
    chunk = memoryview(random.Random(1).randbytes(1_000_000))
    for _ in range(300):
        marks.feed(chunk)
    assert len(marks.up_to(marks.length)) <= MOST
    assert marks.every <= marks.length // (MOST // 2)
    state = checkpoint.ImportState("x", "s", marks.length, marks.checksum, marks.every, marks.up_to(marks.length))
    checkpoint.write(tmp_path, state)
    assert (tmp_path / "x.json").stat().st_size < 48 * 1024


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=4000), st.integers(1, 200), st.data())
def test_marks_tell_a_beginning_from_anything_else(text: bytes, repeat: int, data: st.DataObject) -> None:
    whole = bytes(text) * repeat
    long, cut = Marks(), data.draw(st.integers(0, len(whole)))
    for start in range(0, len(whole), 1000):
        long.feed(memoryview(whole[start : start + 1000]))
    sums = long.up_to(len(whole))
    short = Marks()
    short.feed(memoryview(whole[:cut]))
    assert short.begins(long.every, sums)
    compared = cut - cut % long.every
    assert cut - compared < max(CLOSEST, 2 * len(whole) // MOST + 1)
    if compared:
        place = data.draw(st.integers(0, compared - 1))
        changed = bytearray(whole[:cut])
        changed[place] ^= 1 + data.draw(st.integers(0, 254))
        other = Marks()
        other.feed(memoryview(changed))
        assert not other.begins(long.every, sums)


def test_a_log_of_one_site_is_not_taken_for_another_unless_it_is_said(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(8))
    run(store, path, "localhost")
    for copy in (lines(8), lines(8)[:30_000]):
        path.write_bytes(copy)
        with pytest.raises(UserError, match=r'700 lines of this log were imported for the site "localhost".*--again'):
            run(store, path, "example.org")
    path.write_bytes(lines(8))
    assert run(store, path, "example.org", again=True).lines == FEW
    assert run(store, path, "example.org").nothing.startswith("all of it was imported before")
    assert run(store, path, "localhost").nothing.startswith("all of it was imported before")
    assert store.query("SELECT site, count() FROM events GROUP BY site ORDER BY site") == [
        ("example.org", FEW),
        ("localhost", FEW),
    ]


def test_the_command_says_for_which_site_and_why_nothing_was_done(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(9, 20))
    command = [sys.executable, "-m", "analytics", "import", str(path), "--data-dir", str(tmp_path / "var")]

    def done(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "20 lines of combined imported for localhost" in done().stdout
    path.write_bytes(lines(9, 20)[:1000])
    again = done("--format", "json")
    assert (again.returncode, json.loads(again.stdout)["lines"]) == (0, 0)
    assert "shorter copy" in json.loads(again.stdout)["nothing"]
    other = done("--site", "other.example", "--new-site")
    assert other.returncode == 2
    assert 'imported for the site "localhost"' in other.stderr
