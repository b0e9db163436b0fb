"""`consent cookies import`: the Open Cookie Database, as a user downloads it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware.cli.cookies import cookies
from consent_middleware.cookie_database import BadDatabase, look_up, read_database
from consent_middleware.inventory import Inventory
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy
from tests.html.pages_for_tests import POLICY_TEXT

# The database's public columns; the rows are made up.
CSV = """\
ID,Platform,Category,Cookie / Data Key name,Domain,Description,Retention period,Data Controller,User Privacy & GDPR Rights Portals,Wildcard match
1,Acme Stats,Analytics,_acme,"acme.test (3rd party)","Counts visits, ""roughly""
over two lines",2 years,Acme,https://acme.test/privacy,0
2,Acme Stats,Analytics,_acme_,,One per property,13 months,Acme,,1
3,Shop,Functional,basket,,Keeps what you chose,session,Shop Ltd,,0
4,Ads,Marketing,adid,ads.test,Recognises you,1 year,Ads Inc,,0
5,Guard,Security,csrf,,Protects forms,until closed,Guard,,0
,,,,,,,,,
"""  # noqa: E501  # the header is one line in the real file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "db.csv").write_text(CSV, encoding="utf-8-sig")
    (tmp_path / "privacy.toml").write_text(POLICY_TEXT + '[[cookie]]\nname = "_acme"\npurpose = "analytics"\n')
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cookies, ["import", *arguments], standalone_mode=False)


def test_rows_are_read_with_quotes_line_breaks_and_wildcards() -> None:
    rows = {row.pattern: row for row in read_database(CSV.encode("utf-8-sig"))}
    assert set(rows) == {"_acme", "_acme_*", "basket", "adid", "csrf"}
    assert rows["_acme"].description == 'Counts visits, "roughly" over two lines'
    assert [rows[name].lifetime for name in ("_acme", "_acme_*", "basket", "csrf")] == [
        "2 years",
        "13 months",
        "session",
        "",
    ]
    assert rows["csrf"].purpose == "necessary"


def test_an_exact_name_comes_before_a_pattern_and_the_longer_pattern_first() -> None:
    rows = read_database(CSV.encode())
    general = read_database(b"Category,Cookie / Data Key name,Description,Wildcard match\nMarketing,_a,Anything,1\n")
    rows = (*general, *reversed(rows))
    assert look_up(rows, "_acme").pattern == "_acme"  # type: ignore[union-attr]  # found
    assert look_up(rows, "_acme_42").pattern == "_acme_*"  # type: ignore[union-attr]  # found
    assert look_up(rows, "unknown") is None


def test_what_the_file_lacks_and_what_the_site_was_seen_to_set_is_looked_up(folder: Path) -> None:
    worker = Inventory(folder / "var")
    worker.undeclared_cookie("adid", "example.com")
    worker.close()
    result = run("db.csv")
    assert result.return_value == 0
    assert 'name = "_acme"' in result.stdout
    assert 'provider = "Acme Stats"' in result.stdout
    assert 'name = "adid"\npurpose = "marketing"' in result.stdout


def test_appended_entries_load(folder: Path) -> None:
    assert run("db.csv", "adid", "_acme_7", "--append").return_value == 0
    names = {cookie.name: cookie for cookie in PrivacyPolicy.load(folder / "privacy.toml").cookies}
    assert names["adid"].lifetime == "1 year"
    assert names["_acme_*"].provider == "Acme Stats"


def test_a_category_without_a_purpose_changes_nothing(folder: Path) -> None:
    before = (folder / "privacy.toml").read_text()
    result = run("db.csv", "basket", "--append")
    assert isinstance(result.exception, UserError)
    assert "functional" in str(result.exception)
    assert (folder / "privacy.toml").read_text() == before


def test_names_can_be_looked_up_without_a_policy(folder: Path) -> None:
    (folder / "privacy.toml").unlink()
    result = run("db.csv", "adid", "nobody", "--format", "json")
    assert json.loads(result.stdout)["adid"]["purpose"] == "marketing"
    assert "nobody: not in the database" in result.stderr
    assert run("db.csv", "nobody").return_value == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no column"),
        (b"a,b\n1,2\n", "no column"),
        (b"\xff\xfe", "not UTF-8"),
        (b'Category,Name,Description\n"x', ""),
    ],
)
def test_another_file_is_refused_in_one_line(folder: Path, content: bytes, complaint: str) -> None:
    (folder / "db.csv").write_bytes(content)
    result = run("db.csv", "x")
    if complaint:
        assert isinstance(result.exception, UserError)
        assert complaint in str(result.exception)
    else:
        assert result.return_value == 1
    missing = run("nope.csv", "x")
    assert isinstance(missing.exception, UserError)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_fail_otherwise(raw: bytes) -> None:
    with contextlib.suppress(BadDatabase):
        read_database(b"Category,Cookie / Data Key name,Description\n" + raw)
