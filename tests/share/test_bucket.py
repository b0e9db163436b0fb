"""S3-compatible storage: moto's server behind TLS with an authority of our own, boto3 on our side."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from analytics.share import bucket
from analytics.share.parcel import DeliveryFailed, Parcel
from tests.share.authority import certificate
from tests.share.cutting import CuttingLine
from tests.share.sealed_day import NOW, SITE, policy, send, write_sealed_day
from tests.share.test_killed_halfway import share

SECRETS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
FORMATS = ("parquet", "csv", "json", "plausible")


class Service(NamedTuple):
    endpoint: str
    authority: Path
    line: CuttingLine
    client: Any

    def objects(self, name: str) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=name).get("Contents", ())
        return {o["Key"]: self.client.get_object(Bucket=name, Key=o["Key"])["Body"].read() for o in found}

    def bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    authority, chain = certificate(tmp_path_factory.mktemp("authority"), "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with CuttingLine(server.port) as line:
        client = boto3.client(
            "s3", endpoint_url=f"https://localhost:{server.port}", verify=str(authority), region_name="us-east-1",
            aws_access_key_id="a", aws_secret_access_key="b", config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip
        yield Service(f"https://localhost:{line.port}", authority, line, client)
        client.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def recipient(data_dir: Path, service: Service, name: str, **values: Any) -> Any:
    return policy(
        data_dir, where=f"s3://{name}/from us", endpoint=service.endpoint, ca_file=str(service.authority),
        **{"allow_private": True} | values,
    )  # fmt: skip


@pytest.mark.parametrize("format_", FORMATS)
def test_a_bucket_receives_each_format_once(data_dir: Path, service: Service, format_: str) -> None:
    name = service.bucket(f"each-{format_}")
    log: list[Any] = []
    text = recipient(data_dir, service, name, format=format_)
    assert send(data_dir, text, log=log).state == "delivered"
    (data_dir / "share" / "outbox.sqlite3").unlink()  # as if nobody remembered
    again = send(data_dir, text, log=log)
    assert again.told.startswith("there already: s3://")
    local = policy(data_dir, format=format_)
    send(data_dir, local)
    folder = data_dir / "out" / SITE / "day-2026-11-19"
    expected = {f"from us/{SITE}/day-2026-11-19/{path.name}": path.read_bytes() for path in folder.iterdir()}
    assert service.objects(name) == expected
    assert log[0]["where"] == f"s3://{name}/from us"


def test_another_object_in_its_place_is_not_replaced(data_dir: Path, service: Service) -> None:
    name = service.bucket("taken")
    key = f"from us/{SITE}/day-2026-11-19/day-2026-11-19.parquet"
    service.client.put_object(Bucket=name, Key=key, Body=b"theirs")
    outcome = send(data_dir, recipient(data_dir, service, name))
    assert outcome.state == "dead"
    assert "not replaced" in outcome.told
    assert service.objects(name) == {key: b"theirs"}


def test_a_sender_killed_while_it_sends_ends_with_one_copy(tmp_path: Path, service: Service) -> None:
    data_dir, name = write_sealed_day(tmp_path, 4_000), service.bucket("killed")
    text = recipient(data_dir, service, name, format="json")
    service.line.cut_after(300_000)
    sender = subprocess.Popen(share(data_dir, text))
    assert service.line.reached.wait(60)
    sender.kill()
    sender.wait()
    assert not any(key.endswith(".manifest.json") for key in service.objects(name)), "complete before its data"
    service.line.cut_after(None)
    done = subprocess.run(share(data_dir, text), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = service.objects(name)
    assert len(found) == 3
    assert min(map(len, found.values())) > 100


def parcel(service: Service, name: str, **values: Any) -> Parcel:
    return Parcel(
        key="k", site=SITE, stem="day", base=Path(),
        **{"where": f"s3://{name}", "files": {"a.csv": b"1"}, "endpoint": service.endpoint, "allow_private": True,
           "ca_file": str(service.authority)} | values,
    )  # fmt: skip


def test_a_large_object_goes_on_at_the_part_where_it_broke(service: Service) -> None:
    name, content = service.bucket("parts"), os.urandom(2 * bucket.PART_BYTES + 1000)
    sent = parcel(service, name, files={"large.parquet": content})
    service.line.cut_after(bucket.PART_BYTES + 2_000_000, breaks=True)
    with pytest.raises(DeliveryFailed) as failed:
        bucket.deliver(sent, {})
    assert failed.value.temporary
    (upload,) = service.client.list_multipart_uploads(Bucket=name)["Uploads"]
    service.line.cut_after(bucket.PART_BYTES + 2_000_000)  # the first part does not go over the line a second time
    assert bucket.deliver(sent, {}).startswith("written")
    service.line.cut_after(None)
    assert service.objects(name) == {f"{SITE}/day/large.parquet": content}
    assert upload["UploadId"]
    assert "Uploads" not in service.client.list_multipart_uploads(Bucket=name)


@pytest.mark.parametrize(
    ("values", "reason", "temporary"),
    [
        ({"allow_private": False}, "not a public address", False),
        ({"ca_file": ""}, "CERTIFICATE_VERIFY_FAILED", False),
        ({"endpoint": "http://localhost:1"}, "https address", False),
        ({"endpoint": "https://localhost:1"}, "connect", True),
        ({"where": "s3://no-such-bucket"}, "404 NoSuchBucket", False),
        ({"where": "s3:///prefix"}, "s3://bucket/prefix", False),
    ],
    ids=["loopback", "authority", "http", "down", "bucket", "no bucket"],
)
def test_what_a_bucket_refuses(service: Service, values: dict[str, Any], reason: str, temporary: bool) -> None:
    with pytest.raises(DeliveryFailed, match=reason) as failed:
        bucket.deliver(parcel(service, "any", **values), {})
    assert failed.value.temporary is temporary


def test_a_service_that_is_down_is_asked_again_later(data_dir: Path, service: Service) -> None:
    name = service.bucket("later")
    text = recipient(data_dir, service, name)
    service.line.cut_after(0, breaks=True)
    first = send(data_dir, text)
    assert first.state == "waiting"
    service.line.cut_after(None)
    assert send(data_dir, text).state == "waiting", "not before its time"
    assert send(data_dir, text, now=NOW + dt.timedelta(minutes=2)).state == "delivered"


def test_secrets_come_from_a_file_that_nobody_else_can_read(
    data_dir: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name)
    file = data_dir / "bucket.toml"
    file.write_text('access_key_id = "a"\nsecret_access_key = "b"\n')
    sent = parcel(service, service.bucket("secrets"), secrets_file=str(file))
    file.chmod(0o644)
    with pytest.raises(DeliveryFailed, match="chmod 600"):
        bucket.deliver(sent, {})
    file.chmod(0o600)
    assert bucket.deliver(sent, {}).startswith("written")


@pytest.mark.parametrize(("where", "extra"), [("s3://b/p", "s3"), ("sftp://u@h/p", "sftp")])
def test_without_its_library_the_extra_is_named(data_dir: Path, where: str, extra: str) -> None:
    code = (
        "import sys; sys.modules['boto3'] = sys.modules['paramiko'] = None; "
        "import analytics.cli; sys.argv[0] = 'analytics'; analytics.cli.main()"
    )
    text = policy(data_dir, where=where, name="R")
    done = subprocess.run([sys.executable, "-c", code, *share(data_dir, text)[3:]], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"consent-middleware[{extra}]" in done.stdout
