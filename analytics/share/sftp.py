"""SFTP: a folder per release that appears whole or not at all, on a server whose key is known beforehand.

Files go into a hidden folder, which is renamed once everything is in it; a run that was killed goes on in the same one.
A server whose key is not the known one gets nothing, not even a user name. paramiko comes with the extra `sftp`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import posixpath
import socket
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from analytics.share import guard
from analytics.share.parcel import DeliveryFailed, Parcel, missing_extra

if TYPE_CHECKING:
    import paramiko

SECONDS: Final = 60.0
SECRETS: Final = {
    "password": "SFTP_PASSWORD",
    "key_file": "SFTP_KEY_FILE",
    "passphrase": "SFTP_PASSPHRASE",
}
KNOWN_HOSTS: Final = "SFTP_KNOWN_HOSTS"
CHUNK: Final = 32_768


def deliver(parcel: Parcel, environment: Mapping[str, str]) -> str:
    """Put the files into `sftp://user@host/folder/SITE/PERIOD/`. Raises DeliveryFailed."""
    parts = urlsplit(parcel.where)
    if not parts.hostname or not parts.username or parts.password or parts.query or parts.fragment:
        raise DeliveryFailed("write sftp://user@host/folder; the password has no place in it", temporary=False)
    folder = posixpath.join(unquote(parts.path), parcel.site)
    with _connected(parcel, parts.hostname, parts.port or 22, unquote(parts.username), environment) as sftp:
        try:
            return _place(sftp, parcel, folder, f"{parts.hostname}:{posixpath.join(folder, parcel.stem)}")
        except OSError as error:
            raise DeliveryFailed(
                f"{parts.hostname}: {folder}: {error or type(error).__name__}", temporary=True
            ) from None


def _place(sftp: Any, parcel: Parcel, folder: str, name: str) -> str:
    target = posixpath.join(folder, parcel.stem)
    partial = posixpath.join(folder, f".{parcel.stem}-{parcel.key[:16]}")
    if _is_folder(sftp, target):
        if {entry: _read(sftp, posixpath.join(target, entry)) for entry in sftp.listdir(target)} == parcel.files:
            return f"there already: {name}"
        raise DeliveryFailed(f"{name}: another package is there; it is not replaced", temporary=False)
    _make_folders(sftp, partial)
    for other in set(sftp.listdir(partial)) - set(parcel.files):
        sftp.remove(posixpath.join(partial, other))
    for entry in parcel.names_in_order:
        _send(sftp, posixpath.join(partial, entry), parcel.files[entry])
    sftp.rename(partial, target)  # plain rename: a server refuses it when the name is taken
    return f"written: {name}"


def _send(sftp: Any, path: str, content: bytes) -> None:
    """Write one file, or the rest of it; what is there is read first: a crash of the server may have torn it."""
    try:
        there = _read(sftp, path, len(content) + 1)
    except FileNotFoundError:
        there = b""
    if not content.startswith(there):
        there = b""
    with sftp.open(path, "ab" if there else "wb") as file:
        file.set_pipelined(True)
        for start in range(len(there), len(content), CHUNK):
            file.write(content[start : start + CHUNK])
    if sftp.stat(path).st_size != len(content):
        raise OSError(f"{path}: not all of it arrived")


def _read(sftp: Any, path: str, most: int | None = None) -> bytes:
    with sftp.open(path, "rb") as file:
        file.prefetch(file.stat().st_size)
        found: bytes = file.read(most) if most is not None else file.read()
        return found


def _is_folder(sftp: Any, path: str) -> bool:
    try:
        return stat.S_ISDIR(sftp.stat(path).st_mode or 0)
    except FileNotFoundError:
        return False


def _make_folders(sftp: Any, path: str) -> None:
    missing = []
    while path not in ("", "/") and not _is_folder(sftp, path):
        missing.append(path)
        path = posixpath.dirname(path)
    for folder in reversed(missing):
        sftp.mkdir(folder)


@contextlib.contextmanager
def _connected(
    parcel: Parcel, host: str, port: int, user: str, environment: Mapping[str, str]
) -> Iterator[paramiko.SFTPClient]:
    try:
        import paramiko
    except ImportError:
        raise missing_extra("sftp:", "sftp") from None
    expected = _host_keys(parcel, host, port, environment)
    login = _login(parcel, environment)
    transport = None
    try:
        addresses = guard.resolve(host, port, allow_private=parcel.allow_private)
        transport = paramiko.Transport(_socket(addresses, port))
        transport.banner_timeout = transport.auth_timeout = SECONDS
        transport.get_security_options().key_types = [
            name for name in transport.get_security_options().key_types if _family(name) in map(_family, expected)
        ]
        transport.start_client(timeout=SECONDS)
        offered = transport.get_remote_server_key()
        if offered.asbytes() not in expected.values():
            raise DeliveryFailed(
                f"{host}: the server's key ({offered.get_name()} {offered.fingerprint}) is not the known one; "
                "nothing was sent",
                temporary=False,
            )
        if isinstance(login, str):
            transport.auth_password(user, login, fallback=False)
        else:
            transport.auth_publickey(user, login)
        sftp = paramiko.SFTPClient.from_transport(transport)
        if sftp is None:
            raise DeliveryFailed(f"{host}: the server has no SFTP", temporary=False)
        sftp.get_channel().settimeout(SECONDS)
        yield sftp
    except guard.AddressRefused as error:
        raise DeliveryFailed(str(error), temporary=error.temporary) from None
    except paramiko.AuthenticationException as error:
        raise DeliveryFailed(f"{host}: {user} may not log in: {error}", temporary=False) from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise DeliveryFailed(f"{host}: {error or type(error).__name__}", temporary=True) from None
    finally:
        if transport is not None:
            transport.close()


def _socket(addresses: list[str], port: int) -> socket.socket:
    """Connected to one of the addresses that were checked."""
    last: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), SECONDS)
        except OSError as error:
            last = error
    raise last


def _family(name: str) -> str:
    """rsa-sha2-512 and ssh-rsa are ways to sign with the same key."""
    return "ssh-rsa" if name.startswith("rsa-sha2-") else name


def _host_keys(parcel: Parcel, host: str, port: int, environment: Mapping[str, str]) -> dict[str, bytes]:
    """Kind -> key: what the server may show. There is no first time on trust. Raises DeliveryFailed."""
    if parcel.host_key:
        kind, _, rest = parcel.host_key.strip().partition(" ")
        try:
            return {kind: base64.b64decode(rest.split()[0], validate=True)}
        except (binascii.Error, IndexError):
            raise DeliveryFailed('recipient.host_key: write "ssh-ed25519 AAAA...", as ssh-keyscan shows it',
                                 temporary=False) from None  # fmt: skip
    if not environment.get(KNOWN_HOSTS):
        raise DeliveryFailed(
            f"{host}: its key is not known: put it into recipient.host_key (ssh-keyscan shows it; compare it with what "
            f"the recipient says), or name a known_hosts file in {KNOWN_HOSTS}",
            temporary=False,
        )
    import paramiko

    try:
        known = paramiko.HostKeys(environment[KNOWN_HOSTS])
    except OSError as error:
        raise DeliveryFailed(f"{environment[KNOWN_HOSTS]}: {error.strerror}", temporary=False) from None
    found = known.lookup(host if port == 22 else f"[{host}]:{port}")
    if not found:
        raise DeliveryFailed(f"{host}: its key is not in {environment[KNOWN_HOSTS]}", temporary=False)
    return {kind: found[kind].asbytes() for kind in found.keys()}  # noqa: SIM118  paramiko's own mapping has no __iter__


def _login(parcel: Parcel, environment: Mapping[str, str]) -> str | paramiko.PKey:
    """A password, or a private key. Raises DeliveryFailed."""
    import paramiko

    secrets = parcel.secrets(environment, SECRETS)
    if path := secrets.get("key_file"):
        try:
            return paramiko.PKey.from_path(parcel.base / path, (secrets.get("passphrase") or "").encode() or None)
        except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
            raise DeliveryFailed(f"{path}: not a private key that can be read: {error}", temporary=False) from None
    if password := secrets.get("password"):
        return password
    raise DeliveryFailed(
        "sftp: needs SFTP_KEY_FILE or SFTP_PASSWORD in the environment, or recipient.secrets_file with key_file or "
        "password",
        temporary=False,
    )
