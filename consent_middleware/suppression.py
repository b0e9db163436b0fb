"""Objections to direct marketing: keyed hashes of addresses, which no later import can override.

Only the hash is kept, so that the list survives an erasure without holding what was erased: it is the one thing that
stays, and the policy page says so. A person lifts their objection themselves, by confirming a new consent by e-mail.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Iterable, Mapping

from consent_middleware.ledger import ConsentRecord, Ledger
from consent_middleware.ledger.record import SCHEMA, SUPPRESSION, new_record_id
from consent_middleware.ledger.subject_keys import keyed_hash
from consent_middleware.policy import PrivacyPolicy

MARKETING = "direct-marketing"


def normalised(address: str) -> str:
    """An e-mail address as it is compared: without case and surrounding space, the domain in its ASCII form."""
    address = unicodedata.normalize("NFKC", address).strip().casefold()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError(f"{address!r} is not an e-mail address")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{address!r} is not an e-mail address") from None
    return f"{local}@{domain}"


class SuppressionList:
    """Who must not be written to. `purpose` tells one kind of marketing from another."""

    def __init__(self, ledger: Ledger, policy: PrivacyPolicy) -> None:
        self._ledger = ledger
        self._policy = policy

    async def note(
        self, address: str, *, purpose: str = MARKETING, method: str = "email", language: str = "en", text: str = ""
    ) -> ConsentRecord:
        """Note an objection, at once and for good. `text` is what the person wrote to or saw, if anything.

        Raises ValueError for what is no e-mail address, LedgerUnavailable.
        """
        digest = self._hash(address)
        record = ConsentRecord(
            schema=SCHEMA,
            record_id=new_record_id(),
            event="objected",
            at=round(time.time(), 3),
            controller=self._policy.controller.name,
            notice=await self._ledger.notice(text.encode(), language, self._policy.revision),
            language=language,
            revision=self._policy.revision,
            fingerprint=self._policy.fingerprint,
            purposes={purpose: False},
            method=method,
            regime="opt-in",
            reason=SUPPRESSION + digest.hex(),
        )
        await self._ledger.append_all((record,), suppressions=(self._row(digest, purpose, True, record.at),))
        return record

    async def objected_at(self, address: str, *, purpose: str = MARKETING) -> float | None:
        """When the address objected; None when it did not, or lifted its objection. Raises ValueError."""
        return await asyncio.to_thread(self._objected_at, address, purpose)

    async def allowed(self, addresses: Iterable[str], *, purpose: str = MARKETING) -> list[str]:
        """Those addresses that may be written to, in their order: every import and every mailing goes through here."""
        wanted = list(addresses)
        return await asyncio.to_thread(
            lambda: [address for address in wanted if self._objected_at(address, purpose) is None]
        )

    def lifted(self, address: str, *, purpose: str = MARKETING) -> Mapping[str, object]:
        """The row that lifts an objection, to be stored together with the consent that lifts it."""
        return self._row(self._hash(address), purpose, False, time.time())

    def _objected_at(self, address: str, purpose: str) -> float | None:
        rows = self._ledger.reader.query("suppression", {"address": self._hash(address), "purpose": purpose})
        return float(rows[0][1]) / 1000 if rows and rows[0][0] else None

    def _hash(self, address: str) -> bytes:
        return keyed_hash(self._ledger.index_key(), "suppression", normalised(address))

    @staticmethod
    def _row(digest: bytes, purpose: str, objected: bool, at: float) -> Mapping[str, object]:
        return {"address": digest, "purpose": purpose, "objected": int(objected), "at": int(at * 1000)}
