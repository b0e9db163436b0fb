"""The store and the reports of tests/reports, for the attacks on the dashboard."""

from __future__ import annotations

from tests.reports.conftest import reporting, shared_store, store

__all__ = ["reporting", "shared_store", "store"]
