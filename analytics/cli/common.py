"""What the commands on the store share: the --store option and opening it with the policy's limits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from analytics.store import Store, StoreUnavailable, open_store
from analytics.store.migrations import migrate, set_cells_retention, set_retention
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy

if TYPE_CHECKING:
    from analytics.errands import Errand

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


def opened(store_url: str | None, data_dir: Path, policy: PrivacyPolicy | None, *, prepare: bool = True) -> Store:
    """The store, migrated, with the policy's retention, or not prepared. Raises UserError in one line."""
    try:
        store = open_store(store_url, data_dir, migrate=prepare)
    except StoreUnavailable as error:
        raise UserError(f"the store can't be reached: {error}") from None
    except OSError as error:
        raise UserError(f"{data_dir}: {error.strerror or error}") from None
    if prepare:
        _keep_as(policy, store)
    return store


def _keep_as(policy: PrivacyPolicy | None, store: Store) -> None:
    if policy is not None:
        set_retention(store, policy.retention.raw_days)
        set_cells_retention(store, policy.retention.cells_months)


@contextlib.contextmanager
def errands_on(
    store_url: str | None,
    data_dir: Path,
    policy: PrivacyPolicy | None,
    policy_path: Path,
    *,
    retention: bool = True,
    here: Callable[[], contextlib.AbstractContextManager[Callable[..., Any]]] | None = None,
) -> Iterator[Callable[..., Any]]:
    """A function that does an errand: `(errand)`, or `(errand, on_progress)`; it gives the errand's answer.

    The service does it when one has the embedded store open, else it is done here, after the store was told the
    policy's retention, or without that: who seals must not end rows by the way. `here` gives what does
    it in place of `errands.do`, and is entered while the store is closed; it gets a store that is not prepared yet, and
    as its last argument what prepares it. Raises UserError in one line.
    """
    from analytics.reports.remote import running_service

    data_dir = data_dir.absolute()
    its_own = not store_url or store_url == f"chdb://{data_dir / 'store'}"
    if its_own and (service := running_service(data_dir)) is not None:
        from analytics import relay

        yield lambda errand, on_progress=None: relay.send(service, errand, policy_path if policy else None)
        return
    kept = policy if retention else None
    with (here or _any_errand)() as does, opened(store_url, data_dir, kept, prepare=here is None) as store:

        @cache
        def prepare() -> None:
            migrate(store)
            _keep_as(kept, store)

        further = [] if here is None else [prepare]

        def do(errand: Errand, on_progress: Callable[[int], None] = lambda done: None) -> Any:
            return does(errand, store, data_dir, policy, on_progress, *further)

        yield do


@contextlib.contextmanager
def _any_errand() -> Iterator[Callable[..., Any]]:
    from analytics import errands

    yield errands.do
