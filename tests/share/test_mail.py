"""Releases by e-mail: a real SMTP server with TLS and an authority of our own."""

from __future__ import annotations

import email
import io
import ssl
import zipfile
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from examples.demo.processes import free_port
from tests.share.authority import certificate
from tests.share.cutting import CuttingLine
from tests.share.sealed_day import NOW, policy, send, write_sealed_day
from tests.share.test_bucket import FORMATS

# The line is wrapped in TLS from its first byte, which the server's own check does not see.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
Start = Callable[..., tuple["Mailbox", CuttingLine]]


class Mailbox:
    """Keeps what was accepted; `answers` are given first."""

    def __init__(self) -> None:
        self.accepted: list[Message] = []
        self.answers: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.accepted.append(email.message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server and names it in the environment; `starttls`: plain first, as on port 587."""
    authority, chain = certificate(tmp_path, "localhost")
    running: list[Any] = []

    def start_one(*, starttls: bool = False) -> tuple[Mailbox, CuttingLine]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        mailbox = Mailbox()
        tls = {"tls_context": context, "require_starttls": True} if starttls else {"ssl_context": context}

        def check(_: Any, __: Any, ___: Any, ____: str, given: Any) -> AuthResult:
            return AuthResult(success=(given.login, given.password) == (b"us", b"p@ss"))

        controller = Controller(
            mailbox,
            hostname="127.0.0.1", port=free_port(0), server_hostname="localhost", authenticator=check,
            auth_required=True, auth_require_tls=starttls, **tls,
        )  # fmt: skip
        controller.start()
        line = CuttingLine(controller.port)
        line.__enter__()
        running.extend((controller, line))
        scheme = "smtp" if starttls else "smtps"
        monkeypatch.setenv("SMTP_URL", f"{scheme}://us:p%40ss@localhost:{line.port}")
        return mailbox, line

    start_one.authority = str(authority)  # type: ignore[attr-defined]  # handed on with the function it belongs to
    yield start_one
    for part in running:
        part.__exit__() if isinstance(part, CuttingLine) else part.stop()


def recipient(data_dir: Path, start: Any, **values: Any) -> Any:
    return policy(data_dir, where="mailto:stats@example.com", ca_file=start.authority, **values)


def attachment(message: Message) -> dict[str, bytes]:
    (part,) = [part for part in message.walk() if part.get_content_type() == "application/zip"]
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


@pytest.mark.parametrize("starttls", [False, True])
def test_a_mailbox_receives_each_format_once(data_dir: Path, start: Start, starttls: bool) -> None:
    mailbox, _ = start(starttls=starttls)
    log: list[Any] = []
    for format_ in FORMATS:
        text = recipient(data_dir, start, format=format_, name=format_)
        assert send(data_dir, text, log=log).told == "accepted by localhost"
        assert send(data_dir, text, log=log).state == "already"
        send(data_dir, policy(data_dir, format=format_, where=f"out-{format_}"))
        folder = data_dir / f"out-{format_}" / "example.org" / "day-2026-11-19"
        assert attachment(mailbox.accepted[-1]) == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(mailbox.accepted) == len(log) == len(FORMATS)
    assert "p@ss" not in str(log)


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(data_dir: Path, start: Start) -> None:
    mailbox, _ = start()
    text = recipient(data_dir, start)
    mailbox.answers[:] = ["451 later", "552 too much"]
    assert send(data_dir, text).state == "waiting"
    assert send(data_dir, text, force=True).state == "dead"
    assert mailbox.accepted == []


def test_a_line_that_breaks_in_the_message_ends_with_one_message(tmp_path: Path, start: Start) -> None:
    data_dir = write_sealed_day(tmp_path, 4_000)
    mailbox, line = start()
    text = recipient(data_dir, start, format="json")
    line.cut_after(100_000, breaks=True)
    assert send(data_dir, text).state == "waiting"
    assert mailbox.accepted == []
    line.cut_after(None)
    assert send(data_dir, text, force=True).state == "delivered"
    assert len(mailbox.accepted) == 1


def test_the_same_package_is_the_same_message(data_dir: Path, start: Start) -> None:
    """Where an answer is lost after the message was taken, the mailbox can tell: SMTP itself can't."""
    mailbox, _ = start()
    text = recipient(data_dir, start)
    send(data_dir, text)
    (data_dir / "share" / "outbox.sqlite3").unlink()
    send(data_dir, text, now=NOW)
    assert len({message["Message-ID"] for message in mailbox.accepted}) == 1


def test_a_server_of_another_authority_gets_no_password(data_dir: Path, start: Start) -> None:
    mailbox, _ = start(starttls=True)
    outcome = send(data_dir, policy(data_dir, where="mailto:stats@example.com"))
    assert outcome.state == "dead"
    assert "certificate refused" in outcome.told
    assert mailbox.accepted == []
