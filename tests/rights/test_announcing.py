"""Letters through a real mail server: a changed policy to members, each once; reminders to whoever answers."""

from __future__ import annotations

import datetime as dt
import email
import ssl
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner

from consent_middleware.announcing import FILE, announce, letter_text
from consent_middleware.cli import consent
from consent_middleware.ledger import open_ledger
from consent_middleware.mail import MailError
from consent_middleware.rights import providers
from consent_middleware.rights.register import Register
from consent_middleware.rights.reminders import remind
from examples.demo.processes import free_port
from examples.law_group import rights as site_rights
from examples.law_group.content import MEMBERS
from examples.law_group.records import SiteRecords
from tests.pages.sites import TEXT, law_group
from tests.share.authority import certificate

SITE = "https://larkfield.example"


class Mailbox:
    """Takes every letter, except to an address that it is told to refuse."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Message]] = []
        self.refused = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refused in envelope.rcpt_tos:
            return "550 no such mailbox"
        self.letters.append((envelope.rcpt_tos[0], email.message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mailbox, dict[str, str]]]:
    """A mail server with an authority of its own, and the environment that names it."""
    authority, chain = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(0), ssl_context=context)
    controller.start()
    monkeypatch.setattr(site_rights, "records", SiteRecords(tmp_path / "site" / "records.sqlite3"))
    monkeypatch.setattr(providers, "_PROVIDERS", {"members": site_rights.Members(), "news": site_rights.Newsletter()})
    yield mailbox, {"SMTP_URL": f"smtps://localhost:{controller.port}", "SMTP_CA": str(authority)}
    controller.stop()


def test_each_member_hears_of_each_revision_once(tmp_path: Path, post: Any) -> None:
    mailbox, environment = post
    ledger = open_ledger(tmp_path)
    members = {member.email for member in MEMBERS}
    mailbox.refused = MEMBERS[0].email
    first = announce(law_group(), tmp_path, ledger, SITE, environment)
    assert (first.sent, len(first.failed)) == (len(members) - 1, 1)
    mailbox.refused = ""
    second = announce(law_group(), tmp_path, ledger, SITE, environment)
    assert (second.sent, second.before) == (1, len(members) - 1)
    assert announce(law_group(), tmp_path, ledger, SITE, environment).sent == 0
    assert {to for to, _ in mailbox.letters} == members
    assert len(mailbox.letters) == len(members)
    text = str(mailbox.letters[0][1].get_payload(decode=True), "utf-8")
    assert "revision 4" in text
    assert "The map of our office is closed until you open it" in text
    assert f"{SITE}/_consent/policy/changes" in text
    for address in members:
        assert address.encode() not in (tmp_path / FILE).read_bytes(), "whom it reached is kept as a keyed hash"
    later = law_group(TEXT.replace("revision = 4\nupdated", "revision = 5\nupdated", 1))
    assert announce(later, tmp_path, ledger, SITE, environment).sent == len(members)
    ledger.close()


def test_a_restricted_member_is_not_written_to(tmp_path: Path, post: Any) -> None:
    mailbox, environment = post
    site_rights.Members().restrict(MEMBERS[0].email, True)
    ledger = open_ledger(tmp_path)
    announce(law_group(), tmp_path, ledger, SITE, environment)
    ledger.close()
    assert MEMBERS[0].email not in {to for to, _ in mailbox.letters}


def test_a_server_of_another_authority_gets_nothing(tmp_path: Path, post: Any) -> None:
    mailbox, environment = post
    ledger = open_ledger(tmp_path)
    with pytest.raises(MailError, match="certificate"):
        announce(law_group(), tmp_path, ledger, SITE, {"SMTP_URL": environment["SMTP_URL"]})
    with pytest.raises(MailError, match="SMTP_URL"):
        announce(law_group(), tmp_path, ledger, SITE, {})
    ledger.close()
    assert mailbox.letters == []


def test_a_letter_leads_to_the_difference() -> None:
    subject, text = letter_text(law_group(), SITE + "/")
    assert subject == "Larkfield Law Group: privacy policy of 2026-11-20"
    assert f"{SITE}/_consent/policy/changes" in text
    assert "has changed on 2026-11-20" in text


def test_no_letter_leads_to_a_host_that_the_policy_does_not_name(tmp_path: Path) -> None:
    policy = tmp_path / "privacy.toml"
    policy.write_text(TEXT.replace("hosts = []", 'hosts = ["larkfield.example"]'), encoding="utf-8")
    line = ["announce", "--dry-run", "--hooks", "examples.law_group.rights", "--policy", str(policy)]
    good = CliRunner().invoke(consent, [*line, "--site", SITE])
    assert good.exit_code == 0, good.output
    assert f"{SITE}/_consent/policy" in good.output
    wrong = CliRunner().invoke(consent, [*line, "--site", "https://larkfeild.example"], standalone_mode=False)
    assert "the policy file names larkfield.example" in str(wrong.exception)


def test_the_first_revision_has_not_changed() -> None:
    _, text = letter_text(msgspec.structs.replace(law_group(), revision=1), SITE)
    assert "applies from 2026-11-20" in text
    assert "has changed" not in text


def test_reminders_go_to_the_officer(tmp_path: Path, post: Any) -> None:
    mailbox, environment = post
    opened = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    Register(tmp_path).open("access", "a@b.example", identity="cookie", now=opened)
    remind(tmp_path, law_group(), now=opened + dt.timedelta(days=28), environment=environment)
    ((to, letter),) = mailbox.letters
    assert to == "dpo@larkfield.example"
    assert letter["Subject"] == "request 1 (access) is due soon: 2026-04-02"
    broken = {"SMTP_URL": "smtps://localhost:1"}
    assert remind(tmp_path, law_group(), now=opened + dt.timedelta(days=40), environment=broken) == []
    assert len(remind(tmp_path, law_group(), now=opened + dt.timedelta(days=41), environment=environment)) == 1
