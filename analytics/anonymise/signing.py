"""Ed25519 keys and signatures of releases: what others verify."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_NAME = "release.pem"


class Signer:
    """Signs with the data folder's release key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def open(cls, keys_dir: Path) -> Signer:
        """The key in `keys_dir`, made at the first call (mode 0600)."""
        path = keys_dir / KEY_NAME
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            raw = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                raw = path.read_bytes()
            else:
                with os.fdopen(fd, "wb") as file:
                    file.write(raw)
                    file.flush()
                    os.fsync(file.fileno())
        key = serialization.load_pem_private_key(raw, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path}: not an Ed25519 key")
        return cls(key)

    @property
    def public_key(self) -> str:
        """base64 of the 32 bytes."""
        public = self._key.public_key()
        return base64.b64encode(public.public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        return base64.b64encode(self._key.sign(message)).decode()


def is_signed(message: bytes, signature: str, public_key: str) -> bool:
    """Whether `signature` (base64) over `message` is by `public_key` (base64 of 32 bytes)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_public_key(text: str) -> bool:
    """Whether `text` is base64 of 32 bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        return False
