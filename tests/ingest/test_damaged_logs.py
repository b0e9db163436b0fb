"""A compressed log that is cut off or damaged: what is wrong is said, what lies before it is taken, nothing is lost."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from analytics.ingest import checkpoint, logfile
from analytics.ingest.accesslog import import_log
from analytics.ingest.logfile import LogFile
from analytics.store import Store, open_store

CHANCE = random.Random(3)
LINES = [
    f"81.2.69.{CHANCE.randrange(256)} - - [13/Nov/2026:10:00:{i % 60:02d} +0000] "
    f'"GET /{i} HTTP/1.1" 200 {CHANCE.randrange(9999)} "-" "Mozilla/5.0 ({CHANCE.getrandbits(99):x})"\n'
    for i in range(3000)
]
TEXT = "".join(LINES).encode()
PACK = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor(write_checksum=True).compress}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "var") as opened:
        yield opened


def text_of(path: Path, step: int = 7000) -> tuple[bytes, LogFile]:
    log = LogFile(path)
    buffer = memoryview(bytearray(step))
    text = b""
    while count := log.readinto(buffer):
        text += buffer[:count]
    return text, log


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_log_of_several_members_is_read_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"access.log.{suffix}"
    path.write_bytes(PACK[suffix](TEXT[:1000]) + PACK[suffix](TEXT[1000:]))
    text, log = text_of(path)
    assert (text == TEXT, log.damage) == (True, None)


def test_padding_behind_the_last_member_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(TEXT) + bytes(512))
    text, log = text_of(path)
    assert (text == TEXT, log.damage) == (True, None)


@pytest.mark.parametrize("chunk", [logfile.CHUNK, 4096])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_the_text_before_the_damage_is_read_and_the_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, chunk: int
) -> None:
    monkeypatch.setattr(logfile, "CHUNK", chunk)
    path = tmp_path / f"access.log.{suffix}"
    first, second = PACK[suffix](TEXT[:90_000]), bytearray(PACK[suffix](TEXT[90_000:]))
    place = 10 if chunk > 4096 else len(second) // 2  # in the first chunk of a member, or in a later one
    second[place : place + 50] = bytes(50)
    path.write_bytes(first + second)
    text, log = text_of(path)
    assert text[:90_000] == TEXT[:90_000]
    assert len(text) <= len(TEXT)
    assert log.damage is not None
    assert "damaged" in log.damage.what
    assert len(first) <= log.damage.at <= len(first) + len(second)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_log_that_was_cut_off_goes_on_when_it_is_whole(tmp_path: Path, store: Store, suffix: str) -> None:
    path = tmp_path / f"access.log.{suffix}"
    packed = PACK[suffix](TEXT[:150_000]) + PACK[suffix](TEXT[150_000:])
    path.write_bytes(packed[: len(packed) * 3 // 4])
    os.utime(path, (1_700_000_000, 1_700_000_000))  # nobody is writing it any more, and still its last line is none
    given = {"site": "example.org", "basis": "imported", "allowed": frozenset[str]()}
    found = import_log(store, tmp_path / "var", path, **given)  # type: ignore[arg-type]  # as given
    assert found.damage is not None
    assert "cut off" in found.damage.what
    assert found.lines >= 150_000 // 150
    assert found.rejected == {}
    path.write_bytes(packed)
    again = import_log(store, tmp_path / "var", path, **given)  # type: ignore[arg-type]  # as given
    assert (again.lines + found.lines, again.rejected, again.damage) == (len(LINES), {}, None)
    assert store.query("SELECT count(), uniqExact(path) FROM events") == [(3000, 3000)]


def test_the_salt_of_an_import_that_nobody_finishes_is_destroyed(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(TEXT)[:-5000])
    import_log(store, tmp_path / "var", path, site="example.org", basis="imported", allowed=frozenset())
    [state] = (tmp_path / "var" / "imports").glob("*.json")
    made = json.loads(state.read_text())["salted"]
    assert checkpoint.destroy_old_salts(tmp_path / "var", made + 47 * 3600) == 0
    assert checkpoint.destroy_old_salts(tmp_path / "var", made + 49 * 3600) == 1
    assert json.loads(state.read_text())["salt"] is None


def test_the_command_says_what_is_wrong_where_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(TEXT)[:-5000])
    command = [sys.executable, "-m", "analytics", "import", str(path), "--data-dir", str(tmp_path / "var")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"the gzip file ends in the middle: it was cut off, at byte {path.stat().st_size:,}" in done.stdout
    assert "lines of combined imported" in done.stdout
    assert "Get a whole copy of this log" in done.stdout
