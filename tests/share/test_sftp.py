"""SFTP: Debian's own sshd on loopback, run by an ordinary user, with a key of its own that the sender knows."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import paramiko
import pytest

from analytics.share import sftp
from analytics.share.parcel import DeliveryFailed, Parcel
from examples.demo.processes import free_port
from tests.share.cutting import CuttingLine
from tests.share.sealed_day import SITE, policy, send, write_sealed_day
from tests.share.test_bucket import FORMATS
from tests.share.test_killed_halfway import share

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd on this machine")
NOBODY = 65534
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
AuthorizedKeysFile {home}/authorized_keys
PidFile none
UsePAM yes
StrictModes no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


class Server(NamedTuple):
    home: Path
    line: CuttingLine
    user: str
    host_key: str
    key_file: Path

    @property
    def where(self) -> str:
        return f"sftp://{self.user}@localhost:{self.line.port}{self.home}/in"

    def files(self) -> dict[str, bytes]:
        """Everything that was received, hidden folders included."""
        inbox = self.home / "in"
        return {str(path.relative_to(inbox)): path.read_bytes() for path in inbox.rglob("*") if path.is_file()}


def make_key(path: Path) -> paramiko.PKey:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


@pytest.fixture(scope="module")
def daemon() -> Iterator[tuple[Path, CuttingLine, str, str]]:
    user = "nobody" if os.geteuid() == 0 else os.environ.get("USER", "")
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home, port = Path(name), free_port(0)
        host_key = make_key(home / "host_key")
        make_key(home / "login_key")
        shutil.copy(home / "login_key.pub", home / "authorized_keys")
        (home / "config").write_text(CONFIG.format(port=port, home=home))
        for path in [home, *home.iterdir()]:
            if drop:
                os.chown(path, NOBODY, NOBODY)
        command = [*drop, str(SSHD), "-D", "-e", "-f", str(home / "config")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "listening" in process.stderr.readline(), "sshd did not start"
            with CuttingLine(port) as line:
                yield home, line, user, f"{host_key.get_name()} {host_key.get_base64()}"
            process.terminate()


@pytest.fixture
def server(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The same daemon with an empty inbox; the sender's key comes by the environment."""
    home, line, user, host_key = daemon
    monkeypatch.setenv("SFTP_KEY_FILE", str(home / "login_key"))
    yield Server(home, line, user, host_key, home / "login_key")
    line.cut_after(None)
    shutil.rmtree(home / "in", ignore_errors=True)


def recipient(data_dir: Path, server: Server, **values: Any) -> Any:
    return policy(data_dir, **{"where": server.where, "host_key": server.host_key, "allow_private": True} | values)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_server_receives_each_format_once(data_dir: Path, server: Server, format_: str) -> None:
    log: list[Any] = []
    text = recipient(data_dir, server, format=format_)
    assert send(data_dir, text, log=log).state == "delivered"
    (data_dir / "share" / "outbox.sqlite3").unlink()  # as if nobody remembered
    assert send(data_dir, text, log=log).told.startswith("there already: localhost:")
    send(data_dir, policy(data_dir, format=format_))
    out = data_dir / "out"
    assert server.files() == {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert server.user not in log[0]["where"]


def test_another_package_in_its_place_is_not_replaced(data_dir: Path, server: Server) -> None:
    assert send(data_dir, recipient(data_dir, server, cubes=["total"])).state == "delivered"
    before = server.files()
    outcome = send(data_dir, recipient(data_dir, server))
    assert outcome.state == "dead"
    assert "not replaced" in outcome.told
    assert server.files() == before


def test_a_sender_killed_while_it_sends_ends_with_one_copy(tmp_path: Path, server: Server) -> None:
    data_dir = write_sealed_day(tmp_path, 4_000)
    text = recipient(data_dir, server, format="json")
    server.line.cut_after(300_000)
    sender = subprocess.Popen(share(data_dir, text))
    assert server.line.reached.wait(60)
    sender.kill()
    sender.wait()
    assert not (server.home / "in" / SITE / "day-2026-11-19").exists(), "there before it is whole"
    server.line.cut_after(None)
    done = subprocess.run(share(data_dir, text), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = server.home / "in" / SITE
    assert [path.name for path in folder.iterdir()] == ["day-2026-11-19"]
    assert len(server.files()) == 3


def parcel(server: Server, **values: Any) -> Parcel:
    usual = {"where": server.where, "files": {"a.csv": b"1"}, "host_key": server.host_key, "allow_private": True}
    return Parcel(key="k" * 64, site=SITE, base=Path(), **{"stem": "day"} | usual | values)


def left_behind(server: Server, **files: bytes) -> None:
    """What a killed run of the same parcel left on the server."""
    torn = server.home / "in" / SITE / f".day-{'k' * 16}"
    torn.mkdir(parents=True)
    for name, content in files.items():
        (torn / f"{name}.csv").write_bytes(content)
    for path in [torn, *torn.parents[:2], *torn.iterdir()]:
        with contextlib.suppress(PermissionError):
            os.chown(path, NOBODY, NOBODY)


def test_a_broken_line_is_a_reason_to_try_again(server: Server) -> None:
    server.line.cut_after(1_000_000, breaks=True)
    with pytest.raises(DeliveryFailed) as failed:
        sftp.deliver(parcel(server, files={"a.csv": os.urandom(1_500_000)}), os.environ)
    assert failed.value.temporary


def test_a_broken_file_goes_on_where_it_stopped(server: Server) -> None:
    content = os.urandom(1_500_000)
    left_behind(server, a=content[:1_200_000])
    server.line.cut_after(500_000)  # what is there does not go over the line a second time
    assert sftp.deliver(parcel(server, files={"a.csv": content}), os.environ).startswith("written")
    assert server.files() == {f"{SITE}/day/a.csv": content}


def test_what_a_killed_run_tore_is_written_anew(server: Server) -> None:
    left_behind(server, a=b"9", old=b"9")
    sftp.deliver(parcel(server), os.environ)
    assert server.files() == {f"{SITE}/day/a.csv": b"1"}


def test_a_server_with_another_key_gets_nothing(data_dir: Path, server: Server, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    text = recipient(data_dir, server, host_key=f"{other.get_name()} {other.get_base64()}")
    outcome = send(data_dir, text)
    assert outcome.state == "dead"
    assert "not the known one" in outcome.told
    assert server.files() == {}


def test_an_unknown_server_is_never_accepted(server: Server) -> None:
    with pytest.raises(DeliveryFailed, match="ssh-keyscan"):
        sftp.deliver(parcel(server, host_key=""), os.environ)


def test_a_known_hosts_file_serves_too(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[localhost]:{server.line.port} {server.host_key}\n")
    environment = {**os.environ, "SFTP_KNOWN_HOSTS": str(known)}
    assert sftp.deliver(parcel(server, host_key=""), environment).startswith("written")
    known.write_text(f"elsewhere.example {server.host_key}\n")
    with pytest.raises(DeliveryFailed, match="not in"):
        sftp.deliver(parcel(server, host_key="", stem="other"), environment)


def test_who_may_not_log_in_is_told_so(server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    with pytest.raises(DeliveryFailed, match="may not log in") as failed:
        sftp.deliver(parcel(server), {"SFTP_KEY_FILE": str(tmp_path / "stranger")})
    assert not failed.value.temporary


@pytest.mark.parametrize(
    ("values", "environment", "reason"),
    [
        ({"allow_private": False}, {}, "not a public address"),
        ({"where": "sftp://localhost/in"}, {}, "user@host"),
        ({"where": "sftp://a:b@localhost/in"}, {}, "password has no place"),
        ({"host_key": "ssh-ed25519 ***"}, {}, "ssh-keyscan"),
        ({}, {"SFTP_KEY_FILE": ""}, "SFTP_PASSWORD"),
        ({}, {"SFTP_KEY_FILE": sys.executable}, "not a private key"),
    ],
    ids=["loopback", "no user", "password in the address", "no key", "no secret", "no private key"],
)
def test_what_sftp_refuses(server: Server, values: Any, environment: dict[str, str], reason: str) -> None:
    with pytest.raises(DeliveryFailed, match=reason) as failed:
        sftp.deliver(parcel(server, **values), {**os.environ, **environment})
    assert not failed.value.temporary
