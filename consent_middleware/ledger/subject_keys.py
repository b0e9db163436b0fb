"""Subject keys: what leads from a proof of consent back to a person, kept apart so that it can be deleted.

A ledger entry holds its subject encrypted (AES-256-GCM) under a key of its record alone. The keys lie in another file,
outside the ledger's backups. Erasing a person deletes the key: the proof stays, countable and verifiable, and nobody
can tell any more whose it was. docs/ledger.md says where this ends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent_middleware.ledger.database import Database

NONCE_BYTES = 12


class SubjectKey(msgspec.Struct, frozen=True):
    """One row of the key file. `subject` is a keyed hash of the site's own subject (None for a visitor)."""

    record_id: str
    key: bytes
    subject: bytes | None = None
    purpose: str = ""


def new_key(record_id: str, *, subject: bytes | None = None, purpose: str = "") -> SubjectKey:
    return SubjectKey(record_id, secrets.token_bytes(32), subject, purpose)


def seal(key: SubjectKey, subject: str) -> str:
    """The subject encrypted and bound to its record: base64url of nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key.key).encrypt(nonce, subject.encode(), key.record_id.encode())
    return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()


def unseal(key: bytes, record_id: str, sealed: str) -> str | None:
    """The subject again; None when it was sealed under an earlier key of the record, which was deleted."""
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    try:
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], record_id.encode()).decode()
    except InvalidTag:
        return None


def keyed_hash(key: bytes, what: str, value: str) -> bytes:
    """A hash that nobody without `key` can try values against. `what` keeps uses of one key apart."""
    return hmac.new(key, f"{what}\x00{value}".encode(), hashlib.sha256).digest()


def find_key(database: Database, record_id: str) -> bytes | None:
    rows = database.query("key", {"record_id": record_id})
    return bytes(rows[0][0]) if rows else None


def forget_key(database: Database, record_id: str) -> bool:
    """Delete the key of a record so that it is gone from the file, too; False when there was none."""
    known = find_key(database, record_id) is not None
    database.begin()
    database.execute("forget_key", [{"record_id": record_id}])
    database.commit()
    database.purge()
    return known


def index_key(data_dir: Path) -> bytes:
    """The key of keyed hashes, `keys/index.key`: one for all hosts of a site, made at first use. Raises OSError."""
    path = data_dir / "keys" / "index.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".index-{secrets.token_hex(8)}")
    with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        # Another worker was first: its key is the one.
        pass
    finally:
        fresh.unlink()
    return path.read_bytes()
