"""What the service does in the background: each function does its work once and says what it did."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from analytics.reports.querylog import QueryLog
from analytics.store import Store
from consent_middleware.policy import PrivacyPolicy


class Workplace(msgspec.Struct, frozen=True):
    """What a job works on; without a policy nothing is loaded, answered or sealed."""

    store: Store
    data_dir: Path
    policy: PrivacyPolicy | None


def load(at: Workplace) -> object:
    return None


def answer_requests(at: Workplace) -> object:
    return None


def seal(at: Workplace) -> object:
    return None


def retain(at: Workplace) -> object:
    """Old months of the query log."""
    return QueryLog(at.data_dir).purge(dt.datetime.now(dt.UTC).date())
