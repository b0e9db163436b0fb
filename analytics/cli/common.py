"""What the commands on the store share: the --store option and opening it with the policy's limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from analytics.store import Store, StoreUnavailable, open_store
from analytics.store.migrations import set_cells_retention, set_retention
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy

F = TypeVar("F", bound=Callable[..., object])


def store_option(function: F) -> F:
    return click.option(
        "--store",
        "store_url",
        envvar="CONSENT_STORE",
        default=None,
        show_default="$CONSENT_STORE or chDB in the data folder",
        help="A ClickHouse server: http(s)://user:password@host:port/database?cluster=name.",
    )(function)


def load_policy(path: Path) -> PrivacyPolicy:
    """The policy. Raises UserError in one line."""
    try:
        return PrivacyPolicy.load(path)
    except PolicyError as error:
        raise UserError(str(error)) from None


def opened(store_url: str | None, data_dir: Path, policy: PrivacyPolicy | None) -> Store:
    """The store, migrated, with the policy's retention. Raises UserError in one line."""
    try:
        store = open_store(store_url, data_dir)
    except StoreUnavailable as error:
        raise UserError(f"the store can't be reached: {error}") from None
    except OSError as error:
        raise UserError(f"{data_dir}: {error.strerror or error}") from None
    if policy is not None:
        set_retention(store, policy.retention.raw_days)
        set_cells_retention(store, policy.retention.cells_months)
    return store
