"""What every worker does for its ledger now and then: the daily head, and retention. Whoever comes first does it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from consent_middleware.ledger.heads import seal_if_due
from consent_middleware.ledger.ledger import Ledger
from consent_middleware.ledger.tombstones import end_old_entries
from consent_middleware.policy import PrivacyPolicy

# The process serves requests, too: it reads a slice, then lets them go first.
PAUSE_SECONDS = 0.01


def upkeep(ledger: Ledger, policy: PrivacyPolicy) -> tuple[Callable[[], object], ...]:
    """The chores, each of which may be called at any time. They raise LedgerUnavailable, OSError."""
    retained: list[dt.date] = []

    def retain_daily() -> None:
        today = dt.datetime.now(dt.UTC).date()
        if retained != [today]:
            end_old_entries(
                ledger,
                record_years=policy.retention.consent_record_years,
                disclosure_years=policy.retention.disclosures_years,
                lifetime_days=policy.consent.lifetime_days,
            )
            retained[:] = [today]

    return (lambda: seal_if_due(ledger, pause=PAUSE_SECONDS), retain_daily)
