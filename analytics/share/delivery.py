"""Bringing a package to its recipient: a folder, an HTTPS server, a mailbox, a bucket, or an SFTP server.

Every door is idempotent: the same package brought twice is there once. `bucket` and `sftp` need extras.
"""

from __future__ import annotations

import http.client
import os
import shutil
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from analytics.anonymise.signing import Signer
from analytics.share import bucket, formats, guard, sftp, signatures
from analytics.share.parcel import DeliveryFailed, Parcel, parcel_key, shown

__all__ = ["AGAIN", "DeliveryFailed", "Parcel", "deliver", "parcel_key", "shown"]

TIMEOUT = 60.0
MAX_MAIL_BYTES = 20_000_000
SMTP = {"smtp_url": "SMTP_URL", "smtp_from": "SMTP_FROM"}
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


def deliver(parcel: Parcel, signer: Signer, environment: Mapping[str, str] = os.environ) -> str:
    """What the recipient's side answered, in a few words. Raises DeliveryFailed."""
    scheme = urlsplit(parcel.where).scheme
    if scheme in ("", "file"):
        return _to_folder(parcel)
    if scheme == "https":
        return _to_server(parcel, signer)
    if scheme == "mailto":
        return _to_mailbox(parcel, environment)
    if scheme == "s3":
        return bucket.deliver(parcel, environment)
    if scheme == "sftp":
        return sftp.deliver(parcel, environment)
    if scheme == "http":
        raise DeliveryFailed(f"{shown(parcel.where)}: releases travel by https only", temporary=False)
    raise DeliveryFailed(
        f'"{scheme}:" is not a way to deliver (a folder, https:, mailto:, s3:, sftp:)', temporary=False
    )


def _to_folder(parcel: Parcel) -> str:
    """A folder per release that appears whole or not at all."""
    where = unquote(urlsplit(parcel.where).path) if parcel.where.startswith("file:") else parcel.where
    target = parcel.base / where / parcel.site / parcel.stem
    partial = target.with_name(f".{target.name}-{parcel.key[:16]}")
    try:
        if target.exists():
            found = {path.name: path.read_bytes() for path in target.iterdir()}
            if found == parcel.files:
                return f"there already: {target}"
            raise DeliveryFailed(f"{target}: another package is there; it is not replaced", temporary=False)
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
        partial.mkdir(parents=True)
        for name, content in parcel.files.items():
            with (partial / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        partial.rename(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DeliveryFailed(f"{target}: {error.strerror}", temporary=True) from None
    return f"written: {target}"


class _PinnedConnection(http.client.HTTPSConnection):
    """Connects to the address that was checked, and verifies the certificate of the name."""

    def __init__(self, host: str, port: int, addresses: list[str], context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT, context=context)
        self._addresses = addresses
        self._tls = context

    def connect(self) -> None:
        last: OSError | None = None
        for address in self._addresses:
            try:
                raw = socket.create_connection((address, self.port), TIMEOUT)
            except OSError as error:
                last = error
                continue
            self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
            return
        raise last or OSError("no address")


def _to_server(parcel: Parcel, signer: Signer) -> str:
    """One POST of a zip archive, signed; redirects are not followed."""
    parts = urlsplit(parcel.where)
    host, port = parts.hostname or "", parts.port or 443
    if not host or parts.username or parts.fragment:
        raise DeliveryFailed(f"{shown(parcel.where)}: not a plain https address", temporary=False)
    try:
        addresses = guard.resolve(host, port, allow_private=parcel.allow_private)
    except guard.AddressRefused as error:
        raise DeliveryFailed(str(error), temporary=error.temporary) from None
    body = formats.archive(parcel.files)
    headers = {
        "host": parts.netloc,
        "content-type": "application/zip",
        "content-length": str(len(body)),
        "content-digest": signatures.content_digest(body),
        "idempotency-key": f'"{parcel.key}"',
        "user-agent": "consent-middleware",
    }
    headers |= signatures.sign(signer, "POST", parcel.where, headers, int(time.time()))
    context = ssl.create_default_context(cafile=parcel.ca_path)
    connection = _PinnedConnection(host, port, addresses, context)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        told = answer.read(300).decode("utf-8", "replace")
    except ssl.SSLCertVerificationError as error:
        raise DeliveryFailed(f"{host}: certificate refused: {error.verify_message}", temporary=False) from None
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryFailed(f"{host}: {error or type(error).__name__}", temporary=True) from None
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return f"{answer.status} {answer.reason}".strip()
    short = " ".join(told.split())[:120]
    raise DeliveryFailed(f"{host}: {answer.status} {answer.reason} {short}".strip(), temporary=answer.status in AGAIN)


def _to_mailbox(parcel: Parcel, environment: Mapping[str, str]) -> str:
    """One message with one attachment; the server is named by SMTP_URL (smtps:// or smtp:// with STARTTLS)."""
    address = unquote(urlsplit(parcel.where).path)
    secrets = parcel.secrets(environment, SMTP)
    url = urlsplit(secrets.get("smtp_url", ""))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise DeliveryFailed("e-mail needs SMTP_URL=smtps://user:password@host:465 in the environment", temporary=False)
    if any(character in address for character in "\r\n,") or "@" not in address:
        raise DeliveryFailed(f'"{address}" is not one mail address', temporary=False)
    body = formats.archive(parcel.files)
    if len(body) > MAX_MAIL_BYTES:
        raise DeliveryFailed(f"{len(body)} bytes are too many for an e-mail", temporary=False)
    message = EmailMessage()
    message["From"] = secrets.get("smtp_from") or f"statistics@{parcel.site}"
    message["To"] = address
    message["Subject"] = f"Statistics of {parcel.site}: {parcel.stem}"
    message["Message-ID"] = f"<{parcel.key[:32]}@{parcel.site}>"  # the same package is the same message
    message.set_content("Aggregated, anonymous statistics. The manifest inside says what they promise.\n")
    message.add_attachment(body, maintype="application", subtype="zip", filename=f"{parcel.site}-{parcel.stem}.zip")
    context = ssl.create_default_context(cafile=parcel.ca_path)
    try:
        with _mail_server(url.scheme, url.hostname, url.port, context) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except ssl.SSLCertVerificationError as error:
        raise DeliveryFailed(f"{url.hostname}: certificate refused: {error.verify_message}", temporary=False) from None
    except smtplib.SMTPResponseException as error:
        temporary = 400 <= error.smtp_code < 500
        raise DeliveryFailed(f"{url.hostname}: {error.smtp_code} {error.smtp_error!r}", temporary=temporary) from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryFailed(f"{url.hostname}: {error}", temporary=True) from None
    return f"accepted by {url.hostname}"


def _mail_server(scheme: str, host: str, port: int | None, context: ssl.SSLContext) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT, context=context)
    server = smtplib.SMTP(host, port or 587, timeout=TIMEOUT)
    server.starttls(context=context)
    return server
