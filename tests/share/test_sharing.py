"""Recipients receive sealed releases and nothing else: real folders, the real ledger."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import COLUMNS, read_parquet
from analytics.cli import analytics
from analytics.share.recipients import ShareRefused
from consent_middleware.ledger import open_ledger
from consent_middleware.policy import PrivacyPolicy
from tests.share.sealed_day import SITE, policy, send


def test_a_folder_receives_the_sealed_file_itself_once(data_dir: Path) -> None:
    log: list[Any] = []
    text = policy(data_dir)
    assert send(data_dir, text, log=log).state == "delivered"
    assert send(data_dir, text, log=log).state == "already"
    received = data_dir / "out" / SITE / "day-2026-11-19"
    original = data_dir / "releases" / SITE / "day-2026-11-19.parquet"
    assert (received / "day-2026-11-19.parquet").read_bytes() == original.read_bytes()
    assert {path.name for path in received.iterdir()} == {
        "day-2026-11-19.parquet", "day-2026-11-19.manifest.json", "datapackage.json",
    }  # fmt: skip
    assert len(log) == 1
    assert log[0]["recipient"] == "Statistics Ltd"
    assert log[0]["sealed_sha256"] == sealed.read_manifest(original.with_suffix(".json")).sha256


def test_a_recipient_gets_their_cubes_only(data_dir: Path) -> None:
    log: list[Any] = []
    send(data_dir, policy(data_dir, cubes=["total"]), log=log)
    received = data_dir / "out" / SITE / "day-2026-11-19" / "day-2026-11-19.parquet"
    assert {cell.cube for cell in read_parquet(received.read_bytes())} == {"total"}
    assert log[0]["cubes"] == ["total"]


@pytest.mark.parametrize(
    ("recipient", "options", "reason"),
    [
        ({}, {"period": Period.parse("day:2026-11-20")}, "is not sealed"),
        ({"cubes": ["total"]}, {"cubes": ("path",)}, '"path" is not theirs'),
        ({"regimes": ["uk-statistics"]}, {}, "processors only"),
        ({"regimes": ["opt-out"], "role": "processor"}, {}, "captured with consent"),
        ({"country": "US", "safeguard": "scc", "where": ""}, {}, "where is empty"),
        ({"format": "plausible", "where": "x"}, {"cubes": ("nothing",)}, 'no cube "nothing"'),
    ],
    ids=["unsealed", "not their cube", "regime", "regime without consent", "nowhere", "no such cube"],
)
def test_what_may_not_be_shared_is_refused_with_the_reason(
    data_dir: Path, recipient: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ShareRefused, match=reason):
        send(data_dir, policy(data_dir, **recipient), **options)
    assert not (data_dir / "out").exists()


def test_a_site_that_nobody_knows_is_refused_with_those_that_there_are(data_dir: Path) -> None:
    policy(data_dir)
    command = ["share", "--policy", str(data_dir / "privacy.toml"), "--data-dir", str(data_dir), "--site"]
    unknown = CliRunner().invoke(analytics, [*command, "exampel.org"])
    assert unknown.exit_code == 2
    assert unknown.output == 'error: --site: no site "exampel.org" (known: example.org)\n'
    assert CliRunner().invoke(analytics, [*command, SITE]).exit_code == 0


def test_an_expired_safeguard_is_refused(data_dir: Path) -> None:
    path = data_dir / "privacy.toml"
    policy(data_dir, country="US", safeguard="scc")
    path.write_text(path.read_text() + "safeguard_until = 2026-11-30\n")
    text = PrivacyPolicy.load(path)
    with pytest.raises(ShareRefused, match="ended on 2026-11-30"):
        send(data_dir, text)
    assert send(data_dir, text, now=dt.datetime(2026, 11, 30, 9, tzinfo=dt.UTC)).state == "delivered"


def test_a_release_that_was_tampered_with_is_not_shared(data_dir: Path) -> None:
    path = data_dir / "releases" / SITE / "day-2026-11-19.json"
    path.write_text(path.read_text().replace('"epsilon":1.0', '"epsilon":0.5'))
    with pytest.raises(ShareRefused, match="signature"):
        send(data_dir, policy(data_dir))


def test_csv_is_described_and_starts_no_formula(data_dir: Path) -> None:
    send(data_dir, policy(data_dir, format="csv"))
    received = data_dir / "out" / SITE / "day-2026-11-19"
    rows = list(csv.reader(io.StringIO((received / "day-2026-11-19.csv").read_text())))
    assert tuple(rows[0]) == COLUMNS
    assert all(not value.startswith(("=", "+", "@")) for row in rows[1:] for value in row)
    assert ["-3.25" in row for row in rows].count(True) == 1, "stored as drawn: negative numbers stay"
    described = json.loads((received / "day-2026-11-19.csv-metadata.json").read_text())
    assert [column["name"] for column in described["tableSchema"]["columns"]] == list(COLUMNS)
    (resource,) = json.loads((received / "datapackage.json").read_text())["resources"]
    assert resource["path"] == "day-2026-11-19.csv"


@pytest.mark.parametrize("options", [{"format": "csv"}, {"format": "json"}, {"cubes": ["total"]}])
def test_a_recipient_checks_a_converted_copy_and_is_told_what_that_shows(
    data_dir: Path, options: dict[str, Any]
) -> None:
    send(data_dir, policy(data_dir, **options))
    checker = Path(__file__).parents[2] / "verify" / "releases.py"

    def check() -> tuple[int, str]:
        command = [sys.executable, "-S", "-E", str(checker), str(data_dir / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, said = check()
    assert (code, "0 problems" in said) == (0, True), said
    assert "a converted copy, not the sealed file. The manifest's signature is genuine; its files are as" in said
    received = data_dir / "out" / SITE / "day-2026-11-19"
    (data,) = {*received.glob("*.csv"), *received.glob("*19.json"), *received.glob("*.parquet")}
    content = data.read_bytes()
    data.write_bytes(content + b" ")
    code, said = check()
    assert (code, "not the file that datapackage.json describes" in said) == (1, True)
    data.write_bytes(content)
    manifest = received / "day-2026-11-19.manifest.json"
    manifest.write_text(manifest.read_text().replace('"epsilon":1.0', '"epsilon":0.9'))
    code, said = check()
    assert (code, "signature is NOT genuine" in said) == (1, True)


def test_json_holds_the_same_cells(data_dir: Path) -> None:
    send(data_dir, policy(data_dir, format="json"))
    cells = json.loads((data_dir / "out" / SITE / "day-2026-11-19" / "day-2026-11-19.json").read_text())
    assert {tuple(cell) for cell in cells} <= {tuple(sorted(COLUMNS))}
    assert len(cells) == 5


def test_a_run_killed_half_way_ends_with_exactly_one_copy(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, log = policy(data_dir), []

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)  # files written, folder not yet in place
    with pytest.raises(KeyboardInterrupt):
        send(data_dir, text, log=log)
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        send(data_dir, text, disclose=killed)  # in place, not yet logged
    assert send(data_dir, text, log=log).state == "delivered"
    assert [path.name for path in (data_dir / "out" / SITE).iterdir()] == ["day-2026-11-19"]
    assert len(log) == 1


def test_disclosures_reach_the_ledger_and_its_chain_holds(data_dir: Path) -> None:
    policy(data_dir, schedule="daily")
    command = [sys.executable, "-m", "analytics", "share", "--policy", str(data_dir / "privacy.toml"),
               "--data-dir", str(data_dir), "--format", "json"]  # fmt: skip
    for state in ("delivered", "already"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["state"] == state
    ledger = open_ledger(data_dir)
    try:
        (entry,) = list(ledger.disclosures())
    finally:
        ledger.close()
    assert entry["period"] == "day:2026-11-19"
    assert entry["role"] == "third-party"


# Everything is imported first, because the interpreter itself may lie where only root can read.
AS_NOBODY = """
import os, sys
import analytics.cli, analytics.cli.share, consent_middleware.ledger.sqlite
import concurrent.futures.thread, email.message, importlib.readers, pyarrow.parquet, zipfile
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open(sys.argv.pop(1))
except PermissionError:
    pass
else:
    sys.exit("the raw rows can be read, so this shows nothing")
analytics.cli.main()
"""


# Everything that a person could be found in.
UNREADABLE = ("store", "spool", "quarantine", "answers", "ledger-keys", "rights", "query-log", "salts", "site")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_sharing_works_as_a_user_who_cannot_read_the_raw_folder(data_dir: Path) -> None:
    """No double of the store: the folders are there, and unreadable; what is shared comes from sealed files alone."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "var"
        shutil.copytree(data_dir, home)
        for folder in UNREADABLE:
            (home / folder).mkdir(parents=True)
            (home / folder / "rows").write_text("raw rows")
        text = policy(home, schedule="daily")
        for folder in ("share", "ledger", "out", "keys"):
            (home / folder).mkdir(exist_ok=True)
        for path in [home.parent, home, *home.rglob("*")]:
            os.chown(path, 65534, 65534)
        for folder in UNREADABLE:
            os.chown(home / folder, 0, 0)
            (home / folder).chmod(0o700)
        command = [sys.executable, "-c", AS_NOBODY, str(home / "store" / "rows"), "share", "--policy", str(text.path),
                   "--data-dir", str(home)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (home / "out" / SITE / "day-2026-11-19" / "day-2026-11-19.parquet").exists()


def test_share_imports_neither_store_nor_engine() -> None:
    code = (
        "import sys, analytics.cli.share, analytics.reports.released; "
        "print([m for m in sys.modules if m.startswith(('analytics.store', 'analytics.ingest', 'chdb', 'clickhouse'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_that_shares_nothing_says_why(data_dir: Path) -> None:
    policy(data_dir)
    command = ["share", "--policy", str(data_dir / "privacy.toml"), "--data-dir", str(data_dir)]
    told = CliRunner().invoke(analytics, command)
    assert told.output == f"no recipient of {data_dir / 'privacy.toml'} has a schedule: name one, --recipient\n"
