"""Releases on their way: a real HTTPS server with its own authority, mail, schedules, and what is refused."""

from __future__ import annotations

import datetime as dt
import io
import ssl
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from analytics.anonymise import sealed
from analytics.anonymise.signing import Signer
from analytics.share import delivery, guard, outbox, recipients, sharing, signatures
from tests.share.authority import certificate
from tests.share.sealed_day import NOW, policy, send


class Receiver(BaseHTTPRequestHandler):
    received: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    answers: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status = self.answers.pop(0) if self.answers else 201
        self.send_response(status)
        if status == 302:
            self.send_header("location", "https://elsewhere.example/")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and certificate authority of an HTTPS server on loopback."""
    authority, chain = certificate(tmp_path, "localhost")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Receiver.received.clear()
    Receiver.answers.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}/in?from=x", authority
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_receives_a_signed_archive_with_an_idempotency_key(data_dir: Path, receiver: Any) -> None:
    where, authority = receiver
    text = policy(data_dir, where=where, allow_private=True, ca_file=str(authority), format="csv")
    log: list[Any] = []
    assert send(data_dir, text, log=log).state == "delivered"
    ((path, headers, body),) = Receiver.received
    assert path == "/in?from=x"
    key = Signer.open(data_dir / "keys").public_key
    assert signatures.is_valid("POST", where, headers, body, key)
    assert not signatures.is_valid("POST", where, headers, body + b"x", key)
    assert not signatures.is_valid("POST", where + "y", headers, body, key)
    assert not signatures.is_valid("POST", where, headers | {"idempotency-key": '"other"'}, body, key)
    with zipfile.ZipFile(io.BytesIO(body)) as bundle:
        assert "day-2026-11-19.csv" in bundle.namelist()
    assert log[0]["answer"] == "201 Created"
    assert "from=x" not in log[0]["where"], "queries may hold secrets"


def test_a_failing_server_is_tried_again_later_with_the_same_key_and_then_left(data_dir: Path, receiver: Any) -> None:
    where, authority = receiver
    text = policy(data_dir, where=where, allow_private=True, ca_file=str(authority))
    Receiver.answers[:] = [503, 503]
    first = send(data_dir, text)
    assert first.state == "waiting"
    assert send(data_dir, text).state == "waiting", "not before its time"
    assert len(Receiver.received) == 1
    later = NOW + dt.timedelta(minutes=2)
    assert send(data_dir, text, now=later).state == "waiting"
    assert send(data_dir, text, now=later + dt.timedelta(minutes=6)).state == "delivered"
    assert len({headers["idempotency-key"] for _, headers, _ in Receiver.received}) == 1


@pytest.mark.parametrize("status", [400, 302])
def test_a_refusal_or_a_redirect_is_a_dead_letter_that_can_be_revived(
    data_dir: Path, receiver: Any, status: int
) -> None:
    where, authority = receiver
    text = policy(data_dir, where=where, allow_private=True, ca_file=str(authority))
    Receiver.answers[:] = [status]
    assert send(data_dir, text).state == "dead"
    assert send(data_dir, text).state == "dead"
    with outbox.Outbox(data_dir / "share") as letters:
        assert letters.revive() == 1
    assert send(data_dir, text).state == "delivered"


def test_a_certificate_of_another_authority_is_refused(data_dir: Path, receiver: Any) -> None:
    where, _ = receiver
    outcome = send(data_dir, policy(data_dir, where=where, allow_private=True))
    assert outcome.state == "dead"
    assert "certificate refused" in outcome.told
    assert Receiver.received == []


def test_loopback_is_refused_unless_allowed(data_dir: Path, receiver: Any) -> None:
    where, authority = receiver
    outcome = send(data_dir, policy(data_dir, where=where, ca_file=str(authority)))
    assert outcome.state == "dead"
    assert "not a public address" in outcome.told
    assert Receiver.received == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1",
     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "::"],
)  # fmt: skip
def test_no_private_address_passes_for_a_public_one(address: str) -> None:
    assert not guard.is_public(address)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "::1", "127.1"])
def test_no_spelling_of_a_private_host_passes(host: str) -> None:
    """The resolver reads them all as loopback, and what it says is what is judged and connected to."""
    with pytest.raises(guard.AddressRefused, match="not a public address"):
        guard.resolve(host, 443, allow_private=False)
    assert all(not guard.is_public(address) for address in guard.resolve(host, 443, allow_private=True))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_pass(address: str) -> None:
    assert guard.is_public(address)


@pytest.mark.parametrize("where", ["http://example.org/in", "ftp://example.org/", "https://user@example.org/"])
def test_other_ways_are_refused(data_dir: Path, where: str) -> None:
    assert send(data_dir, policy(data_dir, where=where)).state == "dead"


def test_mail_needs_a_server_in_the_environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)
    outcome = send(data_dir, policy(data_dir, where="mailto:stats@example.com"))
    assert "SMTP_URL" in outcome.told


def test_a_schedule_names_its_periods(data_dir: Path) -> None:
    releases = sealed.releases(data_dir / "releases")
    for schedule, count in (("daily", 1), ("weekly", 0), ("", 0)):
        text = policy(data_dir, schedule=schedule)
        assert len(list(sharing.due(text.recipients[0], releases))) == count
    assert recipients.KINDS == {"daily": "day", "weekly": "week", "monthly": "month"}
    assert {429, 503} <= delivery.AGAIN
