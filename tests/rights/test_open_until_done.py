"""A request is closed as answered only when something was done, or when there is nothing to do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consent_middleware.cli import consent
from consent_middleware.rights import providers
from consent_middleware.rights.register import Register
from tests.pages.sites import TEXT

MINA = "mina@person.example"


class OnlyFinds:
    """A table that can only be looked into."""

    def find(self, subject: str) -> list[dict[str, Any]]:
        return [{"email": MINA}] if subject == MINA else []


@pytest.fixture(autouse=True)
def only_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_PROVIDERS", {"members": OnlyFinds()})


def command(folder: Path, *arguments: str, hooks: str = "none") -> Result:
    path = folder / "privacy.toml"
    text = TEXT.replace('hooks = "examples.law_group.rights"\n', f'hooks = "{hooks}"\n' if hooks else "")
    path.write_text(text, encoding="utf-8")
    places = ["--policy", str(path), "--data-dir", str(folder / "var")]
    return CliRunner().invoke(consent, ["rights", *arguments, *places], standalone_mode=False)


def state(folder: Path, number: int = 1) -> str:
    return Register(folder / "var").read(number).state(dt.datetime.now(dt.UTC).date())


@pytest.mark.parametrize(
    ("right", "more"),
    [("correction", ("--set", "town=Harwick")), ("restriction", ()), ("objection", ()), ("erasure", ())],
)
def test_what_no_hook_can_do_stays_open_until_it_was_done_by_hand(
    tmp_path: Path, right: str, more: tuple[str, ...]
) -> None:
    command(tmp_path, "open", "--right", right, "--subject", MINA)
    result = command(tmp_path, "answer", "1", *more)
    assert (result.return_value, state(tmp_path)) == (1, "open")
    assert "members must be done by hand (--done-by-hand TEXT)" in result.stderr
    assert command(tmp_path, "answer", "1", *more, "--done-by-hand", "in the card file").return_value == 0
    assert state(tmp_path) == "answered"
    assert "We have done what you asked for." in command(tmp_path, "letter", "1").output


class Writes(OnlyFinds):
    """A table with the field that is to be corrected."""

    def correct(self, subject: str, field: str, value: str) -> int:
        return int(field == "town")


@pytest.mark.parametrize(("change", "left"), [("town=Harwick", "answered"), ("email=m@person.example", "open")])
def test_a_table_without_the_field_needs_no_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, left: str
) -> None:
    monkeypatch.setattr(providers, "_PROVIDERS", {"members": OnlyFinds(), "towns": Writes()})
    command(tmp_path, "open", "--right", "correction", "--subject", MINA)
    command(tmp_path, "answer", "1", "--set", change)
    assert state(tmp_path) == left


@pytest.mark.parametrize("right", ["access", "restriction", "erasure"])
def test_the_letter_says_when_nothing_is_held(tmp_path: Path, right: str) -> None:
    command(tmp_path, "open", "--right", right, "--subject", "nobody@person.example")
    result = command(tmp_path, "answer", "1", *(("-o", str(tmp_path / "a.zip")) if right == "access" else ()))
    assert "nothing held in: consents, members" in result.output
    letter = command(tmp_path, "letter", "1").output
    assert "hold nothing about you" in letter
    assert "We have done" not in letter


def test_what_a_partial_answer_did_stands_in_the_register_and_is_not_denied_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Members:
        rows = 1

        def find(self, subject: str) -> list[dict[str, object]]:
            return [{"email": subject}] * self.rows

        def erase(self, subject: str) -> int:
            gone, self.rows = self.rows, 0
            return gone

    monkeypatch.setattr(providers, "_PROVIDERS", {"members": Members(), "letters": OnlyFinds()})
    command(tmp_path, "open", "--right", "erasure", "--subject", MINA)
    assert command(tmp_path, "answer", "1").return_value == 1
    assert "acted by" in (shown := command(tmp_path, "show", "1").output)
    assert "erased: 1 row in members" in shown
    assert "We are working on your request." in command(tmp_path, "letter", "1").output
    monkeypatch.setattr(providers, "_PROVIDERS", {"members": Members()})
    Members.rows = 0
    assert command(tmp_path, "answer", "1").return_value == 0
    assert "We have done what you asked for." in command(tmp_path, "letter", "1").output


def test_a_complaint_is_answered_in_words(tmp_path: Path) -> None:
    command(tmp_path, "open", "--right", "complaint", "--subject", MINA)
    assert "--note TEXT" in str(command(tmp_path, "answer", "1").exception)
    assert state(tmp_path) == "open"
    assert command(tmp_path, "answer", "1", "--note", "We stopped it.").return_value == 0
    assert "Our answer: We stopped it." in command(tmp_path, "letter", "1").output


def test_an_end_to_marketing_stays_open_while_the_sites_tables_were_not_asked(tmp_path: Path) -> None:
    result = command(tmp_path, "open", "--right", "marketing-objection", "--subject", MINA, hooks="")
    assert "suppressed at once" in result.output
    assert (result.return_value, state(tmp_path)) == (1, "open")
    assert command(tmp_path, "answer", "1").return_value == 0
    assert state(tmp_path) == "answered"


def test_a_record_that_is_not_there_and_a_correction_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    command(tmp_path, "open", "--right", "marketing-objection", "--subject", MINA)  # begins the ledger
    result = command(tmp_path, "open", "--right", "access", "--subject", "record:NOPE")
    assert "NOPE: no such record" in str(result.exception)
    command(tmp_path, "open", "--right", "access", "--subject", MINA)
    result = command(tmp_path, "answer", "2", "--set", "town=Harwick", "-o", str(tmp_path / "a.zip"))
    assert "--set belongs to a correction" in str(result.exception)
    assert state(tmp_path, 2) == "open"
