"""`analytics report` and `analytics token`: formats, filters, pages, and e-mail through a real SMTP server."""

from __future__ import annotations

import csv
import datetime as dt
import email.policy
import io
import json
import re
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from click.testing import CliRunner, Result

from analytics.cli.report import report
from analytics.cli.token import token
from analytics.client import Client, ClientError
from analytics.reports.access import Access
from analytics.reports.exports import parquet
from analytics.reports.letters import period_due, send_due
from analytics.reports.pool import Pool
from analytics.reports.reporting import Reporting
from analytics.reports.terminal import Section, as_csv, as_markdown, as_table, flat, part_shown, sparkline
from analytics.store import Store
from tests.reports.conftest import NOW, insert, row

# On the loopback of a test, a password needs no TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")


@pytest.fixture
def data_dir(store: Store) -> Path:
    insert(
        store,
        [
            row(n, f"2026-11-10 10:{n:02}:00", "/=1+1" if n % 2 else "/b|c", source="Google", country="AT")
            for n in range(1, 21)
        ],
    )
    assert store.folder is not None
    for left in store.folder.parent.glob("*.json"):
        left.unlink()
    return store.folder.parent


def run(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(report, [*arguments, "--data-dir", str(data_dir)], catch_exceptions=False)


def test_the_whole_report_is_printed_without_a_policy(data_dir: Path) -> None:
    text = run(data_dir).output
    for title in ("site.example", "Top pages", "Sources", "Countries", "Devices", "Austria", "Google", "20"):
        assert title in text


def test_every_format_says_the_same(data_dir: Path) -> None:
    held = json.loads(run(data_dir, "pages", "--format", "json").output)["sections"][0]["rows"]
    assert held == [{"metrics": [10, 10], "dimensions": [page]} for page in ("/=1+1", "/b|c")]
    rows = list(csv.DictReader(io.StringIO(run(data_dir, "pages", "--format", "csv").output)))
    assert [each["value"] for each in rows] == ["10"] * 4
    raw = CliRunner().invoke(report, ["pages", "--format", "parquet", "--data-dir", str(data_dir)]).stdout_bytes
    assert pq.read_table(io.BytesIO(raw)).num_rows == 4
    assert "/b\\|c" in run(data_dir, "pages", "--format", "markdown").output
    assert "<svg" in run(data_dir, "pages", "--format", "svg").output


def test_a_larger_group_that_protects_a_smaller_one_is_not_called_too_small(store: Store, data_dir: Path) -> None:
    people = [(number, "/x-six" if number < 106 else "/x-two") for number in range(100, 108)]
    insert(store, [row(number, "2026-11-11 10:00:00", page) for number, page in people])
    text = " ".join(run(data_dir, "pages", "-w", "event:page contains x-").output.split())
    assert "too few visitors to show, or hidden to protect a smaller group" in text
    assert "2 rows are not shown: fewer than 5 visitors, or hidden to protect a smaller group." in text


def test_a_table_of_ones_own_takes_the_same_words(data_dir: Path) -> None:
    arguments = ("-b", "event:page", "-m", "visitors", "-w", "event:page contains b", "--format", "json")
    assert json.loads(run(data_dir, *arguments).output)["sections"][0]["rows"][0]["metrics"] == [10]
    wrong = CliRunner().invoke(report, ["-m", "visitrs", "--data-dir", str(data_dir)])
    assert wrong.exit_code == 2
    assert wrong.output.startswith("error: --metric: ")
    assert 'did you mean "visitors"' in str(wrong.output) + str(wrong.exception)


def test_a_spreadsheet_is_not_given_formulas(data_dir: Path) -> None:
    output = run(data_dir, "-b", "event:props:x", "-m", "visitors", "--format", "csv").output
    assert not any(line.startswith(("=", "+", "@")) for cell in output.splitlines() for line in cell.split(","))


def test_a_sparkline_has_a_gap_where_nothing_may_be_shown() -> None:
    assert sparkline([0, None, 8, 4]) == "▁ █▄"


class Mailbox:
    """A mail server on a free port that wants to know who sends, and keeps what it is sent."""

    def __init__(self) -> None:
        self.letters: list[Envelope] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.server = Controller(
            self, hostname="127.0.0.1", port=port, authenticator=self.known, auth_required=True, auth_require_tls=False
        )
        self.url = f"smtp://stats:se%40cret@127.0.0.1:{port}"

    def known(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"stats", b"se@cret"), handled=False)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.letters.append(envelope)
        return "250 kept"

    def letter(self) -> EmailMessage:
        content = self.letters[0].content
        assert isinstance(content, bytes)
        return cast(EmailMessage, BytesParser(policy=email.policy.default).parsebytes(content))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    box.server.start()
    yield box
    box.server.stop()


def test_a_wrong_password_of_the_mail_server_is_one_clear_line(data_dir: Path, mailbox: Mailbox) -> None:
    Access(data_dir).create("Ada", "analyst", ("site.example",), email="ada@site.example")
    wrong = mailbox.url.replace("se%40cret", "guess")
    asked = ["overview", "--mail", "ada@site.example", "--smtp", wrong, "--data-dir", str(data_dir)]
    refused = CliRunner().invoke(report, asked)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: could not send to ada@site.example: ")
    assert mailbox.letters == []


def test_the_internal_lane_is_mailed_to_staff_only(data_dir: Path, mailbox: Mailbox) -> None:
    smtp = mailbox.url
    refused = CliRunner().invoke(
        report, ["overview", "pages", "--mail", "ada@site.example", "--smtp", smtp, "--data-dir", str(data_dir)]
    )
    assert refused.exit_code != 0
    assert mailbox.letters == []
    Access(data_dir).create("Ada", "analyst", ("site.example",), email="ada@site.example")
    run(data_dir, "overview", "pages", "--mail", "ada@site.example", "--smtp", smtp)
    assert mailbox.letters[0].rcpt_tos == ["ada@site.example"]
    letter = mailbox.letter()
    assert letter["Subject"] == "site.example: 2026-11-10 to " + letter["Subject"].rpartition(" ")[2]
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "/=1+1" in plain.get_content()
    assert "<script" not in page.get_content()


def test_a_scheduled_letter_goes_out_once_a_period(data_dir: Path, mailbox: Mailbox, store: Store) -> None:
    smtp = mailbox.url
    Access(data_dir).create("Ada", "analyst", email="ada@site.example")
    run(data_dir, "weekly", "--mail", "ada@site.example", "--every", "week")
    stranger = ["--mail", "x@other.example", "--every", "week", "--data-dir", str(data_dir)]
    assert CliRunner().invoke(report, stranger).exit_code != 0
    held = Reporting(Pool(lambda: store, 1), data_dir, None, now=lambda: NOW)
    assert send_due(held, smtp, "stats@site.example") == ["ada@site.example"]
    assert send_due(held, smtp, "stats@site.example") == []
    assert len(mailbox.letters) == 1
    assert "2026-11-09 to 2026-11-15" in mailbox.letter()["Subject"]
    run(data_dir, "--mail", "ada@site.example", "--every", "never")
    assert held.saved.all("letter", "site.example") == []


def test_periods_are_due_two_days_after_their_end() -> None:
    tuesday, wednesday = dt.date(2026, 11, 17), dt.date(2026, 11, 18)
    assert period_due("week", tuesday)[0] == dt.date(2026, 11, 2)
    assert period_due("week", wednesday)[0] == dt.date(2026, 11, 9)
    assert period_due("month", dt.date(2026, 12, 2))[0] == dt.date(2026, 10, 1)
    assert period_due("month", dt.date(2026, 12, 3)) == (dt.date(2026, 11, 1), dt.date(2026, 11, 30))
    assert period_due("day", dt.date(2026, 11, 17))[0] == dt.date(2026, 11, 14)


def test_parquet_goes_to_a_file_and_never_onto_a_terminal(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.cli.report.on_terminal", lambda: True)
    asked = ["pages", "--format", "parquet", "--data-dir", str(data_dir)]
    refused = CliRunner().invoke(report, asked)
    assert refused.exit_code == 2
    assert "--output report.parquet" in refused.stderr
    assert refused.stdout == ""
    file = tmp_path / "report.parquet"
    written = CliRunner().invoke(report, [*asked, "--output", str(file)])
    assert (written.exit_code, written.stdout) == (0, "")
    assert pq.read_table(file).num_rows == 4
    run(data_dir, "pages", "--format", "csv", "--output", str(tmp_path / "report.csv"))
    assert "visitors" in (tmp_path / "report.csv").read_text()


def test_a_page_is_written_whole(data_dir: Path, tmp_path: Path) -> None:
    run(data_dir, "--html", str(tmp_path / "out.html"))
    text = (tmp_path / "out.html").read_text()
    assert "Austria" in text
    assert not re.search(r"<(script|link|img)", text)


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(data_dir: Path) -> None:
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(token, [*arguments, "--data-dir", str(data_dir)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output.strip()

    secret = call("create", "Ada", "--site", "site.example", "--days", "3")
    assert secret not in (data_dir / "access.json").read_text()
    assert "/s/ana_" in call("link", "board", "--site", "site.example", "--url", "https://stats.example")
    listed = json.loads(call("list", "--format", "json"))
    assert [(each["name"], each["role"]) for each in listed] == [("Ada", "analyst"), ("board", "shared link")]
    assert "revoked analyst Ada" in call("revoke", listed[0]["id"])
    assert Access(data_dir).find(secret) is None
    assert len(json.loads(call("list", "--format", "json"))) == 1


def test_no_token_is_made_for_a_site_that_nobody_knows(data_dir: Path) -> None:
    for words in (("create", "x"), ("link", "x")):
        done = CliRunner().invoke(token, [*words, "--site", "nosuch", "--data-dir", str(data_dir)])
        assert done.exit_code == 2
        assert 'no site "nosuch" (known: site.example)' in done.output
    assert not (data_dir / "access.json").exists()


def test_a_refused_report_names_the_option_and_a_way_out(data_dir: Path) -> None:
    def told(*arguments: str) -> str:
        done = CliRunner().invoke(report, [*arguments, "--data-dir", str(data_dir)])
        assert done.exit_code == 2
        assert "$." not in done.output
        return done.output

    assert 'no site "nosuch" (known: site.example)' in told("--site", "nosuch")
    assert 'no site "nosuch" (known: site.example)' in told("--site", "nosuch", "--lane", "released")
    assert 'no site "nosuch" (known: site.example)' in told(
        "--site", "nosuch", "--mail", "a@b.example", "--every", "day"
    )
    for word in ('--period: "7x" is not a date range', "30d", "12mo", "FROM..TO", "day:2026-11-20"):
        assert word in told("-p", "7x")
    assert "--period: " in told("-p", "day:20")
    assert "--period: the range ends before it begins" in told("-p", "2026-11-20..2026-11-10")
    assert "20" in run(data_dir, "overview", "-p", "day:2026-11-10").output


def test_sealed_numbers_are_shown_with_their_intervals_in_each_form() -> None:
    row = {"dimensions": ["GB"], "metrics": [950, 61.0], "intervals": [[874, 1027], None]}
    total = {"dimensions": [], "metrics": [1897], "intervals": [[1861, 1933]]}
    sections = [
        Section("total", "Total", (), ("visitors",), [total]),
        Section("countries", "Countries", ("visit:country",), ("visitors", "bounce_rate"), [row]),
    ]
    for text in (as_table("s", "p", sections, [], width=100), as_markdown("s", "p", sections, [])):
        assert "950 (874 to 1,027)" in text
        assert "1,897 (1,861 to 1,933)" in text
        assert "61 %" in text
    assert as_csv(sections).splitlines() == [
        "section,key,metric,value,low,high",
        "total,,visitors,1897,1861,1933",
        "countries,GB,visitors,950,874,1027",
        "countries,GB,bounce_rate,61.0,,",
    ]
    table = pq.read_table(io.BytesIO(parquet(*flat(sections)))).to_pylist()
    assert table[1] == {
        "section": "countries",
        "key": "GB",
        "metric": "visitors",
        "value": 950,
        "low": 874,
        "high": 1027,
    }
    plain = [Section("total", "Total", (), ("visitors",), [{"dimensions": [], "metrics": [7]}])]
    assert as_csv(plain).splitlines() == ["section,key,metric,value", "total,,visitors,7"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.004, "Less than 1 %"), (0.006, "1 %"), (0.5, "50 %"), (0.994, "99 %"), (0.998, "More than 99 %"), (1, "100 %")],
)
def test_a_part_is_neither_nothing_nor_all_where_that_is_not_so(share: float, text: str) -> None:
    assert part_shown(share) == text


def test_the_client_says_what_the_service_says() -> None:
    with pytest.raises(ClientError) as caught:
        list(Client("http://127.0.0.1:9", "ana_x", timeout=2).query("site.example", ["visitors"]))
    assert caught.value.status == 0


def test_a_report_of_nothing_says_what_is_never_counted(data_dir: Path) -> None:
    empty = CliRunner().invoke(report, ["overview", "--data-dir", str(data_dir), "-p", "2026-01-01..2026-01-02"])
    assert "bots never are" in empty.output.replace("\n", " ")
    assert "bots never are" not in CliRunner().invoke(report, ["overview", "--data-dir", str(data_dir)]).output
