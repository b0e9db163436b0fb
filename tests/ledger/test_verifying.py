"""`consent ledger verify`: an untouched ledger is sound, and whatever is tampered with is found and named."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from consent_middleware.keys import public_keys
from consent_middleware.ledger import Ledger, chain, open_ledger
from consent_middleware.ledger.heads import SignedHead, decode_head, seal
from consent_middleware.ledger.ledger import LEDGER_FILE
from consent_middleware.ledger.record import encode, record_key
from consent_middleware.ledger.verify import Report, verify
from tests.ledger.parts import a_record, fill

pytestmark = pytest.mark.anyio

ENTRIES = 300
REFUSALS = 40


def checked(ledger: Ledger, kept: tuple[SignedHead, ...] = ()) -> Report:
    database = ledger.connect()
    try:
        return verify(database, public_keys(ledger.data_dir).values(), kept_heads=kept)
    finally:
        database.close()


async def test_an_untouched_ledger_is_sound(ledger: Ledger) -> None:
    await fill(ledger, 30, refusals=5)
    seal(ledger)
    await fill(ledger, 7)
    report = checked(ledger)
    assert report.findings == ()
    assert (report.entries, report.chains, report.heads, report.unsealed) == (42, 2, 1, 7)


async def test_entries_can_be_neither_changed_nor_removed_through_the_database(ledger: Ledger) -> None:
    await fill(ledger, 2)
    seal(ledger)
    raw = ledger.connect()._connection  # type: ignore[attr-defined]  # the database's own connection, as an intruder's
    for command in (
        "UPDATE entries SET revokes = 1",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE position = 1",
        "UPDATE notices SET language = 'xx'",
        "DELETE FROM notices",
        "UPDATE heads SET at = 0",
        "DELETE FROM heads",
    ):
        with pytest.raises(Exception, match="append-only"):
            raw.execute(command)
    raw.close()
    assert checked(ledger).sound


class Intruder:
    """Somebody with the file in hand, who takes the triggers off. Each way returns the entries that it touched."""

    def __init__(self, file: Path, dice: random.Random) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        self.connection.execute("PRAGMA synchronous = OFF")
        for (trigger,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            self.connection.execute(f"DROP TRIGGER {trigger}")
        self.dice = dice

    def rows(self) -> list[tuple[int, int | None, int, bytes, bytes]]:
        return self.connection.execute("SELECT position, record, revokes, body, hash FROM entries").fetchall()

    def write(self, place: int, row: tuple[int, int | None, int, bytes, bytes]) -> None:
        self.connection.execute("DELETE FROM entries WHERE position = ?", (place,))
        self.connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (place, *row[1:]))

    def flip_a_bit(self) -> set[int]:
        place, record, revokes, body, link = self.dice.choice(self.rows())
        bent = bytearray(body)
        bent[self.dice.randrange(len(bent))] ^= 1 << self.dice.randrange(8)
        self.write(place, (place, record, revokes, bytes(bent), link))
        return {place}

    def say_yes_and_mend_the_hash(self) -> set[int]:
        rows = [row for row in self.rows() if b"false" in row[3]]
        place, record, revokes, body, _ = self.dice.choice(rows)
        number, _ = chain.split(place)
        before = self.connection.execute("SELECT hash FROM entries WHERE position = ?", (place - 1,)).fetchone()
        previous = before[0] if before else chain.genesis(number)
        bent = body.replace(b"false", b"true")
        self.write(place, (place, record, revokes, bent, chain.link(previous, bent)))
        # The next one no longer follows: either of the two is named, or, for the last one, the head tells.
        return {place, place + 1, chain.position(number, 0)}

    def rewrite_the_whole_rest(self) -> set[int]:
        rows = [row for row in self.rows() if b"false" in row[3]]
        place = self.dice.choice(rows)[0]
        number, _ = chain.split(place)
        before = self.connection.execute("SELECT hash FROM entries WHERE position = ?", (place - 1,)).fetchone()
        previous = before[0] if before else chain.genesis(number)
        for row in self.rows():
            if row[0] >= place and chain.split(row[0])[0] == number:
                body = row[3].replace(b"false", b"true") if row[0] == place else row[3]
                previous = chain.link(previous, body)
                self.write(row[0], (row[0], row[1], row[2], body, previous))
        # Only the signed head can tell: it names the period.
        return {chain.position(number, 0)}

    def change_a_hash(self) -> set[int]:
        place, record, revokes, body, _ = self.dice.choice(self.rows())
        self.write(place, (place, record, revokes, body, self.dice.randbytes(32)))
        return {place, place + 1}

    def change_an_index(self) -> set[int]:
        place, _, revokes, body, link = self.dice.choice(self.rows())
        self.write(place, (place, self.dice.getrandbits(60), revokes, body, link))
        return {place}

    def hide_from_the_index(self) -> set[int]:
        place, record, revokes, body, link = self.dice.choice(self.rows())
        self.write(place, (place, record, 1 - revokes, body, link))
        return {place}

    def remove_one(self) -> set[int]:
        place = self.dice.choice(self.rows())[0]
        self.connection.execute("DELETE FROM entries WHERE position = ?", (place,))
        return {place}

    def remove_some(self) -> set[int]:
        rows = self.rows()
        start = self.dice.randrange(len(rows))
        gone = [row[0] for row in rows[start : start + self.dice.randint(2, 9)]]
        self.connection.executemany("DELETE FROM entries WHERE position = ?", [(place,) for place in gone])
        return {gone[0]}

    def cut_the_tail(self) -> set[int]:
        number = self.dice.choice([0, 1])
        size = ENTRIES if number == 0 else REFUSALS
        first = chain.position(number, self.dice.randrange(size))
        self.connection.execute(
            "DELETE FROM entries WHERE position >= ? AND position < ?", (first, chain.position(number + 1, 0))
        )
        return {first}

    def remove_and_renumber(self) -> set[int]:
        place = self.dice.choice(self.rows())[0]
        number, _ = chain.split(place)
        self.connection.execute("DELETE FROM entries WHERE position = ?", (place,))
        later = [row for row in self.rows() if row[0] > place and chain.split(row[0])[0] == number]
        for row in later:
            self.connection.execute("DELETE FROM entries WHERE position = ?", (row[0],))
            self.write(row[0] - 1, row)
        return {place}

    def swap_two(self) -> set[int]:
        one, other = self.dice.sample([row for row in self.rows() if row[0] < 1 << 40], 2)
        self.write(one[0], other)
        self.write(other[0], one)
        return {one[0], other[0]}

    def insert_one(self) -> set[int]:
        rows = [row for row in self.rows() if row[0] < 1 << 40]
        place = self.dice.choice(rows)[0]
        for row in reversed([row for row in rows if row[0] >= place]):
            self.connection.execute("DELETE FROM entries WHERE position = ?", (row[0],))
            self.write(row[0] + 1, row)
        forged = a_record(purposes={"analytics": True, "marketing": True}, notice="0" * 64)
        before = self.connection.execute("SELECT hash FROM entries WHERE position = ?", (place - 1,)).fetchone()
        previous = before[0] if before else chain.genesis(0)
        body = encode(forged)
        self.write(place, (place, record_key(forged.record_id), 0, body, chain.link(previous, body)))
        return {place, place + 1}

    def copy_one_to_another_place(self) -> set[int]:
        rows = [row for row in self.rows() if row[0] < 1 << 40]
        source, target = self.dice.sample(rows, 2)
        self.write(target[0], source)
        return {target[0]}


WAYS = [name for name in vars(Intruder) if not name.startswith("_") and name not in ("rows", "write")]


async def test_every_one_of_500_random_tamperings_is_found_and_named(tmp_path: Path) -> None:
    original = tmp_path / "original"
    ledger = open_ledger(original)
    await fill(ledger, ENTRIES // 2, refusals=REFUSALS // 2)
    seal(ledger)
    await fill(ledger, ENTRIES // 2, refusals=REFUSALS // 2)
    seal(ledger)
    ledger.close()
    missed = []
    for number in range(500):
        dice = random.Random(number)
        folder = tmp_path / "tampered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        way = WAYS[number % len(WAYS)]
        intruder = Intruder(folder / LEDGER_FILE, dice)
        touched: set[int] = getattr(intruder, way)()
        intruder.connection.close()
        tampered = open_ledger(folder)
        report = checked(tampered)
        tampered.close()
        names = {chain.name(*chain.split(place)) for place in touched}
        # A period that was rewritten with all its hashes is named by its first entry: the head before tells where.
        names |= {name.partition("#")[0] + f"#{ENTRIES // 2}" for name in names if "consents" in name}
        names |= {name.partition("#")[0] + f"#{REFUSALS // 2}" for name in names if "refusals" in name}
        if not any(finding.entry in names for finding in report.findings):
            missed.append((number, way, names, report.findings))
    assert missed == []


async def test_a_tail_cut_together_with_its_heads_shows_against_a_head_kept_elsewhere(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    await fill(ledger, 20)
    seal(ledger)
    await fill(ledger, 20)
    seal(ledger)
    ledger.close()
    kept = tuple(decode_head(file.read_bytes()) for file in sorted((tmp_path / "ledger-heads").glob("*.json")))
    intruder = Intruder(tmp_path / LEDGER_FILE, random.Random(1))
    intruder.connection.execute("DELETE FROM entries WHERE position >= 20")
    intruder.connection.execute("DELETE FROM heads WHERE number = 2")
    intruder.connection.close()
    ledger = open_ledger(tmp_path)
    assert checked(ledger).sound, "what nobody kept a head of can't be missed"
    findings = [str(finding) for finding in checked(ledger, kept).findings]
    assert any(re.match(r"kept head 2: .*removed or replaced", finding) for finding in findings)
    assert any(re.match(r"consents/0#20: .*up to #39 was removed", finding) for finding in findings)
    ledger.close()


async def test_heads_notices_and_tombstones_are_checked_too(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    await fill(ledger, 10)
    seal(ledger)
    seal(ledger)
    ledger.close()
    intruder = Intruder(tmp_path / LEDGER_FILE, random.Random(1))
    intruder.connection.execute("UPDATE notices SET text = 'We sell everything.'")
    intruder.connection.execute("UPDATE heads SET head = replace(head, '\"size\":10', '\"size\":9') WHERE number = 1")
    intruder.connection.execute("INSERT INTO tombstones VALUES (0, 3, '{}')")
    intruder.connection.execute("DELETE FROM entries WHERE position < 3")
    intruder.connection.close()
    ledger = open_ledger(tmp_path)
    findings = [str(finding) for finding in checked(ledger).findings]
    ledger.close()
    for expected in (
        r"notice \w+: is not the text",
        r"head 1: .*signature",
        r"tombstone .*",
        r"consents/0#0: was removed",
    ):
        assert any(re.match(expected, finding) for finding in findings), (expected, findings)


async def test_a_head_signed_by_somebody_else_is_not_believed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    await fill(ledger, 3)
    seal(ledger)
    database = ledger.connect()
    report = verify(database, ["00" * 32])
    database.close()
    ledger.close()
    assert "is signed by a key that is not known here" in str(report.findings[0])
