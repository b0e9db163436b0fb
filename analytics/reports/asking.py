"""How a command asks: over HTTP when a service owns the data folder, otherwise by opening the store itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from analytics.reports.remote import Refused, running_service
from analytics.reports.running import Running, on_behalf_of
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy

LOOK_SECONDS = 0.3


class Asker(Protocol):
    """What the command line needs of either way."""

    def about(self) -> dict[str, Any]:
        """`{sites, minimum_cell, timezone}`"""
        ...

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        """The answer to a query. Raises UserError."""
        ...

    def share(self) -> float:
        """How far the question is that is being asked, from 0 to 1."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


def followed(asker: Asker, query: dict[str, Any], tell: Callable[[float], object]) -> dict[str, Any]:
    """Ask, and `tell` a few times a second how far it is. An interrupt ends the question too. Raises UserError."""
    with ThreadPoolExecutor(1, thread_name_prefix="question") as one:
        asked = one.submit(asker.ask, query)
        try:
            while not wait([asked], LOOK_SECONDS).done:
                tell(asker.share())
        except BaseException:
            asker.stop()
            raise
        return asked.result()


class Local:
    """The store of a data folder, opened for this command."""

    def __init__(self, reporting: Any) -> None:
        self.reporting = reporting
        self.running = Running()

    def share(self) -> float:
        share: float = self.reporting.pool.progress(self.running).share
        return share

    def stop(self) -> None:
        self.running.stop()

    def about(self) -> dict[str, Any]:
        held = self.reporting
        return {"sites": held.sites(), "minimum_cell": held.minimum_cell, "timezone": held.zone}

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        from analytics.reports.errors import QueryError, QueryTimeout, UnknownSite, no_site
        from analytics.reports.query import parse_object

        try:
            self.running = Running()
            with on_behalf_of(self.running):
                answer: dict[str, Any] = self.reporting.ask(parse_object(query))
            return answer
        except QueryError as error:
            raise Refused(str(error), error.path, str(error.details.get("nearest", ""))) from None
        except QueryTimeout as error:
            raise UserError(str(error)) from None
        except UnknownSite as error:
            raise UserError(no_site(error.site, error.known)) from None


@contextlib.contextmanager
def asker(data_dir: Path, policy: PrivacyPolicy | None, zone: str = "UTC") -> Iterator[Asker]:
    """Ask the service that runs on this folder, or open the store. Raises UserError."""
    if (remote := running_service(data_dir)) is not None:
        yield remote
        return
    if not (data_dir / "store").exists():
        raise UserError(f"{data_dir}: nothing is stored here yet; `analytics import LOG` or `analytics serve` fills it")
    from analytics.reports.pool import Pool
    from analytics.reports.reporting import Reporting
    from analytics.store import open_store

    store = open_store(None, data_dir)
    try:
        reporting = Reporting(Pool(lambda: open_store(None, data_dir, mode="ro"), 1), data_dir, policy, zone=zone)
        try:
            yield Local(reporting)
        finally:
            reporting.close()
    finally:
        store.close()
