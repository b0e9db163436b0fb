"""The signed consent cookie: encode, verify, rotate keys.

On the wire it is what `itsdangerous.Signer` makes (SHA-256, HMAC key derivation): `payload.signature`. The payload is
base64url of 16 to 34 bytes and a bit for each optional purpose, so that a cookie stays far below 180 bytes:

    version 1 | key hint 2 | fingerprint 8 | time 5 | flags 1 | record id 16, or nothing | one bit a purpose
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Literal

from itsdangerous import Signer

from consent_middleware.decision import DAY, DNT, GPC, Choice

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

Reason = Literal["tampered", "expired", "truncated", "foreign-key", "wrong-policy", "malformed"]

MAX_BYTES: Final = 180
SALT: Final = b"consent_middleware.token"
# A host whose clock runs ahead may have signed a moment that is still to come here.
CLOCK_SKEW_SECONDS: Final = 300

_VERSION: Final = 1
_HEAD: Final = 17
_WITH_RECORD: Final = 1
_FLAGS: Final = {GPC: 2, DNT: 4}
_SIGNATURE_CHARACTERS: Final = 43
_BLOCK: Final = 64  # bytes that SHA-256 takes in at once
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
REMEMBERED_MASKS: Final = 1024


class BadToken(ValueError):
    """A consent cookie that can't be believed: the visitor is undecided. `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the consent cookie is not valid: {reason}")
        self.reason: Reason = reason


def consent_cookie_name(secure: bool) -> str:
    """The `__Host-` prefix keeps other hosts and plain http from planting a decision; http can't have it."""
    return "__Host-consent" if secure else "consent"


def visitor_cookie_name(secure: bool) -> str:
    return "__Host-visitor" if secure else "visitor"


class ConsentTokens:
    """Makes and reads consent cookies under a list of secret keys, newest last. Any key in the list verifies."""

    def __init__(self, secret_keys: Sequence[str], policy: PrivacyPolicy) -> None:
        self._policy = policy
        self._purposes = tuple(sorted(policy.optional_purposes))
        self._mask_bytes = -(-len(self._purposes) // 8)
        self._lifetime = policy.consent.lifetime_days * DAY
        self._fingerprint = bytes.fromhex(policy.fingerprint)
        self._granted: dict[bytes, frozenset[str]] = {}
        self.generation = 0
        self.rotate(secret_keys)
        if len(self.encode(Choice(frozenset(), "A" * 22, 0, policy.fingerprint))) > MAX_BYTES:
            raise ValueError(f"{len(self._purposes)} optional purposes: their choices don't fit into a cookie")

    def rotate(self, secret_keys: Sequence[str]) -> None:
        """Take another list of keys, newest last. Raises ValueError when one is empty, or all are missing."""
        if isinstance(secret_keys, str | bytes):
            raise ValueError("secret_keys is a list of keys, newest last, not one string")
        if not secret_keys or not all(secret_keys):
            raise ValueError("no secret key, or an empty one")
        self._signer = Signer(list(secret_keys), salt=SALT, digest_method=hashlib.sha256, key_derivation="hmac")
        # Newest first: the order in which itsdangerous tries them.
        keys = [self._signer.derive_key(key) for key in reversed(self._signer.secret_keys)]
        self._keys = {_opening(key): _Hmac(key) for key in reversed(keys)}
        self._all_keys = keys
        self._hint = _hint(keys[0])
        self.generation += 1

    def encode(self, choice: Choice) -> str:
        """The cookie's value, at most 180 bytes."""
        flags = sum(_FLAGS.get(signal, 0) for signal in choice.signals)
        record = b""
        if choice.record_id is not None:
            flags |= _WITH_RECORD
            record = urlsafe_b64decode(choice.record_id + "==")
            if len(record) != 16:
                raise ValueError(f"a record id is 22 characters of base64url, not {choice.record_id!r}")
        mask = sum(1 << bit for bit, purpose in enumerate(self._purposes) if purpose in choice.granted)
        payload = b"".join(
            (
                bytes((_VERSION,)),
                self._hint,
                bytes.fromhex(choice.fingerprint),
                choice.at.to_bytes(5, "big"),
                bytes((flags,)),
                record,
                mask.to_bytes(self._mask_bytes, "big"),
            )
        )
        return self._signer.sign(urlsafe_b64encode(payload).rstrip(b"=")).decode()

    def decode(self, value: bytes | str, now: float | None = None) -> Choice:
        """What the visitor chose. Raises BadToken."""
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        body, _, signature = value.rpartition(b".")
        likely = self._keys.get(body[:4])
        if likely is None or not likely.signed(body, signature):
            body = self._verified(value)
        try:
            payload = a2b_base64(body.translate(_URLSAFE) + b"==")
        except binascii.Error:
            raise BadToken("malformed") from None
        if len(payload) < _HEAD or payload[0] != _VERSION:
            raise BadToken("malformed")
        if payload[3:11] != self._fingerprint:
            raise BadToken("wrong-policy")
        flags = payload[16]
        record_id, end = None, _HEAD
        if flags & _WITH_RECORD:
            end += 16
            record_id = b2a_base64(payload[_HEAD:end], newline=False).translate(_TO_URLSAFE)[:22].decode()
        if len(payload) != end + self._mask_bytes:
            raise BadToken("malformed")
        mask = payload[end:]
        granted = self._granted.get(mask)
        choice = Choice(
            self._read_mask(mask) if granted is None else granted,
            record_id,
            int.from_bytes(payload[11:16], "big"),
            self._policy.fingerprint,
            tuple([signal for signal, bit in _FLAGS.items() if flags & bit]) if flags > 1 else (),
        )
        now = time.time() if now is None else now
        if not choice.at - CLOCK_SKEW_SECONDS <= now < self.expires(choice):
            raise BadToken("expired")
        return choice

    def expires(self, choice: Choice) -> float:
        """Unix time at which the choice ends. A refusal lasts as long: its time was rounded down to the day."""
        return choice.at + self._lifetime + (DAY if choice.record_id is None else 0)

    def set_cookie(self, choice: Choice, *, secure: bool) -> bytes:
        """The whole value of a Set-Cookie header."""
        name = consent_cookie_name(secure)
        flags = "; Secure" if secure else ""
        value = self.encode(choice)
        return f"{name}={value}; Path=/; Max-Age={self._lifetime}; HttpOnly; SameSite=Lax{flags}".encode()

    def _read_mask(self, mask: bytes) -> frozenset[str]:
        """The purposes of a mask. Whoever says the same shares one set, which is most visitors."""
        bits = int.from_bytes(mask, "big")
        granted = frozenset([purpose for bit, purpose in enumerate(self._purposes) if bits >> bit & 1])
        if len(self._granted) < REMEMBERED_MASKS:
            self._granted[mask] = granted
        return granted

    def _verified(self, value: bytes) -> bytes:
        """What Signer.unsign returns for a value that the likely key did not sign as we spell it."""
        body, separator, encoded = value.rpartition(b".")
        if not separator:
            raise BadToken("truncated")
        try:
            signature = a2b_base64(encoded.translate(_URLSAFE) + b"=" * (-len(encoded) % 4))
        except binascii.Error:
            raise BadToken(_damage(encoded)) from None
        for key in self._all_keys:
            if hmac.compare_digest(hmac.digest(key, body, "sha256"), signature):
                return body
        if len(encoded) != _SIGNATURE_CHARACTERS:
            raise BadToken(_damage(encoded))
        try:
            hint = a2b_base64(body[:4].translate(_URLSAFE))[1:3]
        except binascii.Error:
            hint = b""
        raise BadToken("tampered" if any(hint == _hint(key) for key in self._all_keys) else "foreign-key")


class _Hmac:
    """HMAC-SHA256 under one key, whose two hashes have taken in the key already: a third of the cost of hmac.digest."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def signed(self, body: bytes, signature: bytes) -> bool:
        """Whether `signature` is ours, in the spelling that we give it."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return compare_digest(b2a_base64(outer.digest(), newline=False).translate(_TO_URLSAFE)[:-1], signature)


def _hint(key: bytes) -> bytes:
    return hashlib.sha256(b"hint" + key).digest()[:2]


def _opening(key: bytes) -> bytes:
    """How each body that this key signs begins."""
    return urlsafe_b64encode(bytes((_VERSION,)) + _hint(key))


def _damage(signature: bytes) -> Reason:
    return "truncated" if len(signature) < _SIGNATURE_CHARACTERS else "tampered"
