"""Receipts: a person's own consent record as signed JSON-LD, which anybody can check without this package.

The signature is Ed25519 over the document without its `proof`, as JSON with sorted keys and no white space.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consent_middleware.dpv import CONTEXT, event_of, moment
from consent_middleware.keys import SigningKey, canonical, signing_key, verify_signature
from consent_middleware.ledger import ConsentRecord, Ledger

if TYPE_CHECKING:
    from consent_middleware.services import Services

RECEIPT_TYPE = "application/ld+json"


class NoRecord(LookupError):
    """There is no such record, hence no receipt: a full refusal leaves none."""


def state_of(history: Sequence[ConsentRecord], now: float | None = None) -> str:
    """The state that a record is in: that of its last entry, or "expired" when its time is over."""
    last = history[-1]
    ended = last.until and last.until < (time.time() if now is None else now)
    return "expired" if ended and last.event in ("given", "renewed") else last.event


def make_receipt(
    history: Sequence[ConsentRecord],
    key: SigningKey,
    *,
    notices: dict[str, str] | None = None,
    now: float | None = None,
) -> bytes:
    """The receipt over every entry of one record. `notices` are shown texts by hash, to put in where they are known."""
    now = time.time() if now is None else now
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "dpv:ConsentReceipt",
        "dct:identifier": history[-1].record_id,
        "cm:standard": "ISO/IEC TS 27560:2023",
        "cm:state": state_of(history, now),
        "dct:issued": {"@value": moment(now), "@type": "xsd:dateTime"},
        "cm:events": [event_of(record) for record in history],
    }
    if notices:
        document["cm:notices"] = dict(sorted(notices.items()))
    proof = {"type": "Ed25519", "publicKey": key.public, "signature": key.sign(canonical(document))}
    return msgspec.json.format(canonical({**document, "proof": proof}), indent=2)


async def receipt(ledger: Ledger, record_id: str, *, now: float | None = None) -> bytes:
    """The signed receipt of a record, with the texts that were shown. Raises NoRecord, LedgerUnavailable, OSError."""
    history = await ledger.read(record_id)
    if not history:
        raise NoRecord(f"{record_id}: no such record")
    notices: dict[str, str] = {}
    for record in history:
        if record.notice not in notices and (text := await ledger.text_of_notice(record.notice)) is not None:
            notices[record.notice] = text.decode("utf-8", "replace")
    return make_receipt(history, signing_key(Path(ledger.data_dir)), notices=notices, now=now)


async def receipt_for(services: Services, record_id: str) -> bytes | None:
    """The receipt of a record, or None when there is no such record. Raises LedgerUnavailable, OSError."""
    try:
        return await receipt(services.ledger, record_id)
    except NoRecord:
        return None


def genuine(document: bytes, public_keys: Sequence[str]) -> bool:
    """Whether a receipt was signed by one of `public_keys` (raw, hex) and is as it was signed."""
    try:
        content = msgspec.json.decode(document, type=dict[str, Any])
        proof = content.pop("proof")
        public, signature = str(proof["publicKey"]), str(proof["signature"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return False
    return public in public_keys and verify_signature(public, signature, canonical(content))
