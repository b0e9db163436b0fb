"""Consent records: append-only, hash-chained, durable before a consent cookie is issued.

`record` says what an entry holds, `chain` and `merkle` how entries are bound together (both pure), `ledger` is the one
class that writes and reads, on SQLite (`sqlite`) or PostgreSQL (`postgres`). Imports the policy and the keys, nothing
else of the request path, and may be imported by analytics.
"""

from consent_middleware.ledger.ledger import Ledger, open_ledger
from consent_middleware.ledger.record import ConsentRecord, Refusal
from consent_middleware.ledger.writer import LedgerUnavailable, Stored

__all__ = ["ConsentRecord", "Ledger", "LedgerUnavailable", "Refusal", "Stored", "open_ledger"]
