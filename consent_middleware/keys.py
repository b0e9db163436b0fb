"""Keys of a data folder: Ed25519 for what others verify, and the ages of the secrets that sign our own cookies.

Signing keys are PEM files in `keys/`, for their owner only: `signing-<date>-<id>.pem`. The newest signs; the older ones
stay, since what they signed is checked against them. Secrets never lie in the data folder: `new_secret` only makes one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SECRET_BYTES = 32


class SigningKey:
    """One Ed25519 key pair. `public` is the raw key in hex, `id` its first 16 digits."""

    def __init__(self, private: Ed25519PrivateKey, made: str = "") -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw().hex()
        self.id = self.public[:16]
        self.made = made

    def sign(self, message: bytes) -> str:
        """The signature in hex."""
        return self._private.sign(message).hex()


def verify_signature(public: str, signature: str, message: bytes) -> bool:
    """Whether `signature` (hex) over `message` was made by the key whose raw public half is `public` (hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def canonical(document: object) -> bytes:
    """The bytes that are signed: JSON with sorted keys and without white space, UTF-8."""
    return msgspec.json.encode(document, order="sorted")


def keys_folder(data_dir: Path) -> Path:
    return data_dir / "keys"


def signing_keys(data_dir: Path) -> list[SigningKey]:
    """Every signing key of the folder, newest last; [] when there is none yet. Raises OSError, ValueError."""
    found = []
    for path in sorted(keys_folder(data_dir).glob("signing-*.pem")):
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{path}: not an Ed25519 key")
        found.append(SigningKey(private, path.stem.split("-")[1]))
    return found


def new_signing_key(data_dir: Path, now: dt.datetime | None = None) -> SigningKey:
    """Make a signing key and keep it; from now on it signs. Raises OSError."""
    made = (now or dt.datetime.now(dt.UTC)).strftime("%Y%m%dT%H%M%S%fZ")
    key = SigningKey(Ed25519PrivateKey.generate(), made)
    pem = key._private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder = keys_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"signing-{made}-{key.id}.pem"
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def signing_key(data_dir: Path) -> SigningKey:
    """The key that signs now, made when there is none. Raises OSError."""
    known = signing_keys(data_dir)
    return known[-1] if known else new_signing_key(data_dir)


def public_keys(data_dir: Path) -> dict[str, str]:
    """Raw public keys (hex) by id: what a verifier needs."""
    return {key.id: key.public for key in signing_keys(data_dir)}


def new_secret(day: dt.date | None = None) -> str:
    """A secret for CONSENT_SECRET_KEYS. It starts with its day, so that `consent keys list` can tell when it may go."""
    return f"{day or dt.datetime.now(dt.UTC).date():%Y%m%d}.{secrets.token_urlsafe(SECRET_BYTES)}"


class SecretKey(msgspec.Struct, frozen=True):
    """What can be said about a secret without telling it. `needed_until` None: it signs now."""

    id: str
    made: dt.date | None
    needed_until: dt.date | None


def describe_secrets(secret_keys: Sequence[str], lifetime_days: int) -> list[SecretKey]:
    """Each secret (newest last): when it was made, and until when cookies that it signed may live."""
    days = [_day_of(secret) for secret in secret_keys]
    described = []
    for number, secret in enumerate(secret_keys):
        successor = next((day for day in days[number + 1 :] if day is not None), None)
        ends = successor + dt.timedelta(days=lifetime_days) if successor is not None else None
        described.append(SecretKey(hashlib.sha256(secret.encode()).hexdigest()[:8], days[number], ends))
    return described


def rotate_secrets(secret_keys: Sequence[str], lifetime_days: int, today: dt.date) -> list[str]:
    """The secrets with a new one last, without those whose last cookie has ended."""
    ages = describe_secrets(secret_keys, lifetime_days)
    kept = [
        s for s, age in zip(secret_keys, ages, strict=True) if age.needed_until is None or age.needed_until >= today
    ]
    return [*kept, new_secret(today)]


def _day_of(secret: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(secret.partition(".")[0], "%Y%m%d").date()
    except ValueError:
        return None
