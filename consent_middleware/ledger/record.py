"""What the ledger holds: one consent record entry after ISO/IEC TS 27560:2023, one anonymous refusal, one disclosure.

An entry is stored as its canonical bytes: a JSON array of the fields in the order below, without white space, purposes
sorted by id. Those bytes are what the chain and the tree are computed over; nothing is ever encoded a second time.
There is no field for an address or a user agent.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence

import msgspec

SCHEMA = "1"

EVENTS = ("given", "refused", "withdrawn", "renewed", "objected", "expired")
REVOKING = frozenset({"withdrawn", "expired"})
# How the entry of an objection names its row of the suppression list: this, and the keyed hash in hex.
SUPPRESSION = "suppression "
METHODS = ("banner", "preferences", "form", "api", "signal", "operator", "email", "retention")


# Said wherever somebody named a record that is not there.
WHERE_IDS_STAND = (
    "the id stands on the visitor's receipt (dct:identifier), in `consent ledger export`, and for the site's own "
    "subjects in `consent record --subject NAME`"
)


class ConsentRecord(msgspec.Struct, frozen=True, array_like=True):
    """One entry about one consent record; entries with the same `record_id` are its history.

    `at` and `until` are unix seconds of the server's clock, `at` to the millisecond, `until` 0: until withdrawn.
    `notice` is the SHA-256 (hex) of the exact text that was shown. `subject` is the visitor's id or the site's own
    subject, encrypted under a key that lies elsewhere; "" where there is none.
    """

    schema: str
    record_id: str
    event: str
    at: float
    controller: str
    notice: str
    language: str
    revision: int
    fingerprint: str
    purposes: dict[str, bool]
    method: str
    regime: str
    signals: tuple[str, ...] = ()
    until: int = 0
    subject: str = ""
    recipients: tuple[str, ...] = ()
    reason: str = ""
    previous: str = ""

    @property
    def revokes(self) -> bool:
        """Whether a cookie that names this record stops counting."""
        return self.event in REVOKING

    @property
    def granted(self) -> frozenset[str]:
        return frozenset(purpose for purpose, given in self.purposes.items() if given)


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A full refusal: nothing that tells one person from another, and no time finer than the day (`YYYY-MM-DD`)."""

    schema: str
    day: str
    controller: str
    notice: str
    language: str
    revision: int
    fingerprint: str
    purposes: tuple[str, ...]
    method: str
    regime: str


def moment_after(history: Sequence[ConsentRecord], now: float) -> float:
    """`now` to the millisecond, and later than what the record says already.

    The last entry of a record is what counts, and the clock of the host that wrote it may be ahead of this one's.
    """
    return round(max([now, *(entry.at + 0.001 for entry in history)]), 3)


def new_record_id() -> str:
    """22 characters of base64url: 16 random bytes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


def record_key(record_id: str) -> int:
    """The first 8 bytes of a record id as a signed integer: what the index holds. Raises ValueError."""
    raw = base64.urlsafe_b64decode(record_id + "==")
    if len(raw) != 16:
        raise ValueError(f"{record_id!r} is not a record id: 22 characters of base64url")
    return int.from_bytes(raw[:8], "big", signed=True)


def purposes_map(offered: frozenset[str], granted: frozenset[str]) -> dict[str, bool]:
    """The choice for each purpose that was offered, in canonical order."""
    return {purpose: purpose in granted for purpose in sorted(offered)}


encode = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(ConsentRecord).decode
decode_refusal = msgspec.json.Decoder(Refusal).decode


def encode_disclosure(disclosure: Mapping[str, object]) -> bytes:
    """Canonical bytes of a disclosure: JSON with sorted keys."""
    return msgspec.json.encode(disclosure, order="sorted")


def decode_disclosure(body: bytes) -> dict[str, object]:
    return msgspec.json.decode(body, type=dict[str, object])
