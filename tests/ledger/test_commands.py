"""The commands around the ledger, run as an operator runs them."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from consent_middleware.capture import visitor_key
from consent_middleware.ledger import open_ledger
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.reconsent import compare
from tests.ledger.parts import POLICY, fill, services_in
from tests.ledger.test_deciding import ANALYTICS, BOTH, NOTHING, choose, controls

pytestmark = pytest.mark.anyio


class Operator:
    """Runs `consent` in a folder that has a policy file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "privacy.toml").write_text(POLICY.source)

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "consent_middleware", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr if code else done.stdout


@pytest.fixture
def consent(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


async def test_a_withdrawal_by_an_operator_reaches_workers_and_captured_rows(tmp_path: Path, consent: Operator) -> None:
    async with services_in(tmp_path / "var") as one, services_in(tmp_path / "var") as other:
        given, jar = await choose(one, {}, BOTH)
        record_id = given.choice.record_id or ""
        asked = time.monotonic()
        said = await asyncio.to_thread(consent, "withdraw", "--record", record_id, "--reason", "asked by e-mail")
        assert "withdrawn (analytics, marketing)" in said
        while not (
            one.revocations.revoked(record_id) and other.revocations.revoked(record_id) and controls(tmp_path / "var")
        ):
            assert time.monotonic() - asked < 60, "the withdrawal never reached the workers"
            await asyncio.sleep(0.05)
        assert {c["visitor"] for c in controls(tmp_path / "var")} == {visitor_key(jar["__Host-visitor"])}
        history = await one.ledger.read(record_id)
        assert [(r.event, r.method, r.reason) for r in history][1:] == [("withdrawn", "operator", "asked by e-mail")]
        again = await asyncio.to_thread(consent, "withdraw", "--record", record_id, "--reason", "again", code=2)
        assert "withdrawn already" in again


async def test_verify_seal_and_proof(tmp_path: Path, consent: Operator) -> None:
    assert "no ledger there yet" in consent("ledger", "verify", code=2)
    ledger = open_ledger(tmp_path / "var")
    ids = await fill(ledger, 5)
    ledger.close()
    assert "0 heads; all of it rests on the chain alone (workers sign" in consent("ledger", "verify")
    consent("ledger", "seal")
    verified = consent("ledger", "verify")
    assert verified.startswith("sound: 5 entries in 1 chain, 1 head; 0 entries since the last head rest on the chain")
    assert json.loads(consent("ledger", "verify", "--format", "json"))["sound"] is True
    assert json.loads(consent("ledger", "proof", "--record", ids[0]))["kind"] == "inclusion"
    assert len(consent("ledger", "heads").splitlines()) == 1
    assert "nothing has reached" in consent("ledger", "retain")
    intruder = sqlite3.connect(tmp_path / "var" / "ledger" / "ledger.sqlite3")
    intruder.executescript("DROP TRIGGER entries_no_delete; DELETE FROM entries WHERE position = 3;")
    intruder.close()
    assert "consents/0#3: was removed" in consent("ledger", "verify", code=1)


async def test_exports_hold_every_consent_and_refusal_in_every_format(tmp_path: Path, consent: Operator) -> None:
    ledger = open_ledger(tmp_path / "var")
    ids = await fill(ledger, 4, refusals=2)
    ledger.close()
    rows = list(csv.DictReader(consent("ledger", "export", "--format", "csv").splitlines()))
    assert sorted(row["record_id"] for row in rows) == sorted([*ids, "", ""])
    document = json.loads(consent("ledger", "export"))
    assert len(document["@graph"]) == 6
    assert document["@graph"][0]["@type"] == "dpv:ConsentRecord"
    consent("ledger", "export", "--format", "parquet", "--output", "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert {row["record_id"]: row["granted"] for row in table} == {**dict.fromkeys(ids, "analytics"), "": ""}


async def test_records_are_shown_and_paper_forms_appended(tmp_path: Path, consent: Operator) -> None:
    (tmp_path / "form.txt").write_text("I agree to be listed.")
    said = consent(
        *("record", "--subject", "member:42", "--purpose", "publish", "--text-file", "form.txt", "--given"),
        *("--text-version", "3", "--recipient", "Alpha Insurance plc", "--show-subject"),
    )
    assert "given by operator" in said
    assert "subject: member:42" in said
    assert "revision 3 in en" in said
    assert "now: given" in said
    assert "may be shared with: Alpha Insurance plc" in said
    digest = said.partition(", text ")[2].split(",")[0]
    assert consent("ledger", "notice", digest) == "I agree to be listed."
    assert "no text with this hash" in consent("ledger", "notice", "f" * 64, code=2)
    shown = json.loads(consent("record", "--subject", "member:42", "--format", "json"))
    assert shown["cm:eventType"] == "given"
    assert "no such record" in consent("record", "--record", "A" * 22, code=2)
    assert "either --record" in consent("record", code=2)
    withdrawn = consent("withdraw", "--subject", "member:42", "--reason", "letter of 3 May", "--forget")
    assert "its subject key is deleted, and the proof leads to nobody any more" in withdrawn
    assert "no such record" in consent("record", "--subject", "member:42", code=2)


async def test_a_purpose_that_looks_mistyped_needs_a_word_more(tmp_path: Path, consent: Operator) -> None:
    (tmp_path / "form.txt").write_text("I agree.")
    form = ("record", "--subject", "member:7", "--purpose", "analitics", "--text-file", "form.txt", "--given")
    assert 'did you mean "analytics"?' in consent(*form, code=2)
    assert "no " in consent("record", "--subject", "member:7", code=2)  # nothing was written
    assert "analitics: yes" in consent(*form, "--new-purpose")


async def test_rates_by_language_and_day(tmp_path: Path, consent: Operator) -> None:
    async with services_in(tmp_path / "var") as services:
        for granted in (BOTH, ANALYTICS, NOTHING, NOTHING):
            await choose(services, {}, granted)
        services.ledger.count("shown", "en", n=9)
    (row,) = json.loads(consent("rates", "--format", "json"))
    assert {key: row[key] for key in ("language", "shown", "accept", "save", "reject", "ignored")} == {
        "language": "en",
        "shown": 9,
        "accept": 1,
        "save": 1,
        "reject": 2,
        "ignored": 5,
    }
    by_purpose = json.loads(consent("rates", "--purposes", "--format", "json"))
    assert {(r["purpose"], r["yes"], r["no"]) for r in by_purpose} == {("analytics", 2, 2), ("marketing", 1, 3)}
    assert "50%" in consent("rates")


def test_secrets_are_made_rotated_and_listed_without_being_told(consent: Operator) -> None:
    first = consent("keys", "new").strip()
    rotated = consent("keys", "rotate", CONSENT_SECRET_KEYS=first).strip().split(",")
    assert rotated[0] == first
    assert len(rotated) == 2
    listed = consent("keys", "list", CONSENT_SECRET_KEYS=",".join(rotated))
    assert "signs cookies now" in listed
    assert "when its last cookie ends" in listed
    assert first.partition(".")[2] not in listed
    # A key whose last cookie has ended goes.
    old = "20240101.x" * 3
    assert old not in consent("keys", "rotate", CONSENT_SECRET_KEYS=f"{old},20240601.y,{first}").split(",")
    public = consent("keys", "new", "--signing").strip()
    assert "there is a signing key already" in consent("keys", "new", "--signing", code=2)
    assert consent("keys", "rotate", "--signing").strip() != public
    assert public in consent("keys", "list")


def test_the_keys_of_a_second_host_are_made_on_the_first_and_copied(consent: Operator, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    consent("keys", "new", "--signing", "--data-dir", str(first))
    made = {path.name: path.read_bytes() for path in (first / "keys").iterdir()}
    assert {name.partition("-")[0] for name in made} == {"index.key", "signing"}
    shutil.copytree(first / "keys", second / "keys")
    ledgers = [open_ledger(folder) for folder in (first, second)]
    assert ledgers[0].index("member:42") == ledgers[1].index("member:42"), "an objection on one holds on both"
    for ledger in ledgers:
        ledger.close()
    assert consent("keys", "list", "--data-dir", str(first)) == consent("keys", "list", "--data-dir", str(second))
    assert {path.name: path.read_bytes() for path in (first / "keys").iterdir()} == made, "nothing is made anew"


NEW_PURPOSE = '[[purpose]]\nid = "ads"\n'


@pytest.mark.parametrize(
    ("change", "asked", "because"),
    [
        (("revision = 4", "revision = 5"), True, "revision: 4 became 5"),
        (("[[cookie]]", NEW_PURPOSE + "[[cookie]]"), True, "purpose ads: added"),
        (('lifetime = "30 days"', 'lifetime = "60 days"'), True, 'cookie campaign (http): lifetime "30 days" became'),
        (('purpose = "marketing"', 'purpose = "analytics"'), True, "cookie campaign (http): purpose"),
        (('name = "campaign"', 'name = "campaign2"'), True, "cookie campaign (http): removed"),
        (('description = "which campaign"', 'description = "which campaign it was"'), False, ""),
        (("Harcourt & Vane Solicitors", "Harcourt & Vane LLP"), False, ""),
    ],
)
def test_a_change_of_meaning_asks_again_and_a_typo_does_not(change: tuple[str, str], asked: bool, because: str) -> None:
    difference = compare(POLICY, PrivacyPolicy.parse(POLICY.source.replace(*change)))
    assert difference.asked_again is asked
    assert any(because in reason for reason in difference.reasons) is asked


def test_a_ledger_that_can_not_be_reached_is_one_clear_line(tmp_path: Path, consent: Operator) -> None:
    for address, said in (
        ("mysql://ledger", "a ledger lies at postgresql://"),
        (f"postgresql:///ledger?host={tmp_path}&user=secretive", "error: PostgreSQL: connection"),
    ):
        (tmp_path / "privacy.toml").write_text(f'{POLICY.source}\n[consent]\nledger = "{address}"\n')
        assert said in consent("ledger", "verify", code=2)


def test_diff_says_who_is_asked_again_and_why(tmp_path: Path, consent: Operator) -> None:
    (tmp_path / "new.toml").write_text(POLICY.source.replace("30 days", "60 days"))
    said = consent("diff", "privacy.toml", "new.toml")
    assert "Everybody who decided under the old policy is asked again" in said
    assert "raise it" in said
    assert consent("diff", "privacy.toml", "privacy.toml").strip() == "Nobody is asked again."
    assert json.loads(consent("diff", "privacy.toml", "new.toml", "--format", "json"))["asked_again"] is True
    assert "no such file" in consent("diff", "privacy.toml", "gone.toml", code=2)
