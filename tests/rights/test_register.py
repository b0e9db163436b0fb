"""The register of requests: deadlines, steps that need reasons, nothing removed before its time."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_middleware.rights.register import Register, RegisterError
from consent_middleware.rights.request import RIGHTS, longest_due, months_after

POLICY = Path("examples/law_group/privacy.toml")
AMARA = "amara@okell-finch.example"


def consent(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consent_middleware", "rights", *arguments, "--data-dir", str(data_dir)]
    if arguments[0] in {"open", "answer"}:
        command += ["--policy", str(POLICY), "--hooks", "examples.law_group.rights"]
    environment = {"PATH": "/usr/bin:/bin", "CONSENT_DATA_DIR": str(data_dir), "HOME": str(data_dir)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def opened(right: str, data_dir: Path, subject: str = AMARA) -> str:
    done = consent("open", "--right", right, "--subject", subject, data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].rstrip(":")


@pytest.mark.parametrize(
    ("day", "due"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2028-01-31", "2028-02-29"),
        ("2026-12-15", "2027-01-15"),
        ("2026-11-30", "2026-12-30"),
    ],
)
def test_a_request_is_due_after_one_month(tmp_path: Path, day: str, due: str) -> None:
    moment = dt.datetime.fromisoformat(day + "T23:59:00+00:00")
    request = Register(tmp_path).open("access", AMARA, identity="e-mail", now=moment)
    assert request.due == dt.date.fromisoformat(due)


@given(st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)), st.integers(1, 36))
def test_a_month_later_is_never_in_a_month_beyond(day: dt.date, months: int) -> None:
    later = months_after(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day


def test_an_extension_needs_a_reason_and_ends_after_three_months(tmp_path: Path) -> None:
    register = Register(tmp_path)
    request = register.open("access", AMARA, identity="e-mail")
    last = longest_due(request.opened.date())
    with pytest.raises(RegisterError, match="reason"):
        register.step(request.number, "extended", due=last)
    with pytest.raises(RegisterError, match="extended to a day"):
        register.step(request.number, "extended", text="many tables", due=last + dt.timedelta(days=1))
    assert register.step(request.number, "extended", text="many tables", due=last).due == last


@pytest.mark.parametrize("step", ["refused", "partly-refused", "held"])
def test_a_refusal_and_a_hold_need_their_reason(tmp_path: Path, step: str) -> None:
    register = Register(tmp_path)
    number = register.open("erasure", AMARA, identity="e-mail").number
    with pytest.raises(RegisterError, match="reason"):
        register.step(number, step)  # type: ignore[arg-type]  # one of the literals, by parametrisation


def test_a_closed_request_takes_no_further_steps(tmp_path: Path) -> None:
    register = Register(tmp_path)
    number = register.open("complaint", AMARA, identity="e-mail").number
    register.step(number, "answered", text="in writing")
    with pytest.raises(RegisterError, match="closed"):
        register.step(number, "refused", text="too late")


def test_steps_are_never_changed(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.open("access", AMARA, identity="e-mail")
    database = sqlite3.connect(register.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute("UPDATE steps SET text = 'x'")
    database.close()


def test_one_ticket_is_one_request(tmp_path: Path) -> None:
    register = Register(tmp_path)
    first = register.open("erasure", "visitor", identity="cookie", ticket="t1")
    assert register.open("erasure", "visitor", identity="cookie", ticket="t1").number == first.number


def test_the_person_is_forgotten_when_the_retention_ends(tmp_path: Path) -> None:
    register = Register(tmp_path)
    then = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    number = register.open("complaint", "unmistakable@person.example", identity="e-mail", now=then).number
    register.step(number, "answered", text="in writing", now=then)
    assert register.forget_closed(dt.date(2023, 1, 1)) == 1
    assert register.read(number).closed is not None
    assert b"unmistakable" not in register.path.read_bytes()


def test_an_overdue_request_is_found_by_the_exit_code(tmp_path: Path) -> None:
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    Register(tmp_path).open("access", AMARA, identity="e-mail", now=long_ago)
    done = consent("list", "--due", "--format", "json", data_dir=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["state"] == "overdue"


def test_the_list_cuts_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    nowhere = tmp_path / "nodir"
    assert consent("list", data_dir=nowhere).returncode == 0
    assert not nowhere.exists()
    address = "somebody.with.a.long.name@long-domain-name.example"
    Register(tmp_path).open("marketing-objection", address, identity="e-mail")
    listed = consent("list", data_dir=tmp_path).stdout  # 80 columns, since no terminal is there
    assert "marketing-objection" in listed
    assert "…" not in listed


def test_access_is_answered_with_what_every_table_holds(tmp_path: Path) -> None:
    number = opened("access", tmp_path)
    package = tmp_path / "answer.zip"
    done = consent("answer", number, "--output", str(package), data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(package) as archive:
        assert {"data.json", "members.csv", "read-me.html"} <= set(archive.namelist())
        held = json.loads(archive.read("data.json"))["held"]
        assert held["members"][0]["practice"] == "Okell & Finch"
        assert "Okell &amp; Finch" in archive.read("read-me.html").decode()
    assert package.stat().st_mode & 0o077 == 0


def test_erasure_reaches_the_sites_tables_and_the_bytes_are_gone(tmp_path: Path) -> None:
    from examples.law_group.records import SiteRecords

    records = SiteRecords(tmp_path / "site" / "records.sqlite3")
    records.add_enquiry(email="gone@person.example", name="Gone", subject="tax", message="unmistakable words")
    assert b"unmistakable words" in records.path.read_bytes()
    done = consent("answer", opened("erasure", tmp_path, "gone@person.example"), data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"unmistakable words" not in records.path.read_bytes()


def test_nothing_is_erased_while_a_hold_stands(tmp_path: Path) -> None:
    number = opened("erasure", tmp_path)
    assert consent("hold", number, "--reason", "a court asked", data_dir=tmp_path).returncode == 0
    done = consent("answer", number, data_dir=tmp_path)
    assert done.returncode == 2
    assert "a court asked" in done.stderr
    assert consent("release", number, data_dir=tmp_path).returncode == 0
    assert consent("answer", number, data_dir=tmp_path).returncode == 0


def test_a_correction_reaches_the_table_that_has_the_field(tmp_path: Path) -> None:
    number = opened("correction", tmp_path)
    done = consent("answer", number, "--set", "town=Neu Harwick", data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 row in members" in done.stdout
    assert "by hand: newsletter" in done.stdout


def test_every_right_has_its_place(tmp_path: Path) -> None:
    for right in RIGHTS:
        assert opened(right, tmp_path)
    states = {r["right"]: r["state"] for r in json.loads(consent("list", "--format", "json", data_dir=tmp_path).stdout)}
    assert set(states) == set(RIGHTS)
    assert states["marketing-objection"] == "answered"  # at once: Article 21(3)
