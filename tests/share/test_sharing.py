"""Recipients receive sealed releases and nothing else: real folders, a real HTTPS server, the real ledger."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from analytics.anonymise import sealed
from analytics.anonymise.budget import Budget
from analytics.anonymise.periods import Period
from analytics.anonymise.release import _manifest, finish, plan_of
from analytics.anonymise.sealed import COLUMNS, Cell, read_parquet
from analytics.anonymise.signing import Signer
from analytics.share import delivery, guard, outbox, recipients, sharing, signatures
from analytics.share.recipients import ShareRefused
from consent_middleware.ledger import open_ledger
from consent_middleware.policy import PrivacyPolicy

SITE = "example.org"
DAY = Period.parse("day:2026-11-19")
NOW = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)
BASE = """
revision = 1
updated = 2026-11-01
[controller]
name = "Example"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
"""


def policy(data_dir: Path, **recipient: Any) -> PrivacyPolicy:
    values = {"name": "Statistics Ltd", "role": "third-party", "country": "DE", "where": "out"} | recipient
    table = "".join(f"{key} = {json.dumps(value, default=str)}\n" for key, value in values.items())
    path = data_dir / "privacy.toml"
    path.write_text(f"{BASE}[[recipient]]\n{table}")
    return PrivacyPolicy.load(path)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with one sealed day, written as `seal` writes it."""
    releases, signer = tmp_path / "releases", Signer.open(tmp_path / "keys")
    text = PrivacyPolicy.parse(BASE)
    plan = plan_of(text, SITE, DAY)
    sigma = {(m.cube, m.metric): m.sigma for m in plan.measurements}
    cells = [
        Cell(SITE, str(DAY), "total", "", "visitors", 1234.5, sigma["total", "visitors"]),
        Cell(SITE, str(DAY), "total", "", "pageviews", 5000.0, sigma["total", "pageviews"]),
        Cell(SITE, str(DAY), "path", "/", "visitors", 900.0, sigma["path", "visitors"]),
        Cell(SITE, str(DAY), "source", "=cmd()", "visitors", 500.0, sigma["source", "visitors"]),
        Cell(SITE, str(DAY), "country", "GB", "visitors", -3.25, sigma["country", "visitors"]),
    ]
    parquet = sealed.write_parquet(cells)
    manifest = _manifest(plan, text, parquet, len(cells), 1, sealed.GENESIS, NOW)
    signature = signer.sign(sealed.canonical(manifest))
    envelope = sealed.canonical({"manifest": manifest, "key": signer.public_key, "signature": signature})
    with Budget(releases) as budget:
        budget.commit(plan, 1, sealed.hashlib.sha256(envelope).hexdigest(), parquet, envelope)
        finish(budget, releases)
    assert sealed.verify(releases) == []
    return tmp_path


def send(data_dir: Path, text: PrivacyPolicy, **options: Any) -> sharing.Outcome:
    log: list[Any] = options.pop("log", [])
    release = sharing.read_release(data_dir / "releases", SITE, options.pop("period", DAY))
    with outbox.Outbox(data_dir / "share") as letters:
        return sharing.share(
            text.recipients[0], release, policy=text, outbox=letters, signer=Signer.open(data_dir / "keys"),
            disclose=options.pop("disclose", log.append), now=options.pop("now", NOW), **options,
        )  # fmt: skip


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


def test_json_holds_the_same_cells(data_dir: Path) -> None:
    send(data_dir, policy(data_dir, format="json"))
    cells = json.loads((data_dir / "out" / SITE / "day-2026-11-19" / "day-2026-11-19.json").read_text())
    assert {tuple(cell) for cell in cells} <= {tuple(sorted(COLUMNS))}
    assert len(cells) == 5


def test_plausibles_import_archive_has_its_file_names_and_no_negative_count(data_dir: Path) -> None:
    send(data_dir, policy(data_dir, format="plausible"))
    received = data_dir / "out" / SITE / "day-2026-11-19"
    visitors = received / "imported_visitors_20261119_20261119.csv"
    rows = list(csv.DictReader(io.StringIO(visitors.read_text())))
    assert rows == [{"date": "2026-11-19", "visitors": "1234", "pageviews": "5000", "bounces": "0", "visits": "0",
                     "visit_duration": "0"}]  # fmt: skip
    locations = (received / "imported_locations_20261119_20261119.csv").read_text()
    assert "-3" not in locations


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
import email.message, importlib.readers, pyarrow.parquet, zipfile
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open(sys.argv.pop(1))
except PermissionError:
    pass
else:
    sys.exit("the raw rows can be read, so this shows nothing")
analytics.cli.main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_sharing_works_as_a_user_who_cannot_read_the_raw_folder(data_dir: Path) -> None:
    """No double of the store: the folder is there, and unreadable."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "var"
        shutil.copytree(data_dir, home)
        (home / "store").mkdir()
        (home / "store" / "rows").write_text("raw rows")
        text = policy(home, schedule="daily")
        for folder in ("share", "ledger", "ledger-keys", "out", "keys"):
            (home / folder).mkdir(exist_ok=True)
        for path in [home.parent, home, *home.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.chown(home / "store", 0, 0)
        (home / "store").chmod(0o700)
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


# HTTPS


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


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate authority of our own and a server certificate for `name` in one file each."""
    now = dt.datetime.now(dt.UTC)

    def subject(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def build(common: str, public: Any, *, is_authority: bool) -> x509.Certificate:
        usage = x509.KeyUsage(not is_authority, False, False, False, False, is_authority, is_authority, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common))
            .issuer_name(subject("Test authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if not is_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    authority = folder / "authority.pem"
    authority.write_bytes(build("Test authority", authority_key.public_key(), is_authority=True).public_bytes(pem))
    server = folder / "server.pem"
    server.write_bytes(
        build(name, key.public_key(), is_authority=False).public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return authority, server


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
