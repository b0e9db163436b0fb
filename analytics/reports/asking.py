"""How a command asks: over HTTP when a service owns the data folder, otherwise by opening the store itself."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from analytics.reports.running import Running, on_behalf_of
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy

LOOK_SECONDS = 0.3


class Refused(UserError):
    """A question that cannot be answered: `path` is the place of the fault in it, `nearest` a released period."""

    def __init__(self, told: str, path: str = "", nearest: str = "") -> None:
        super().__init__(told)
        self.path, self.nearest = path, nearest


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


class Remote:
    """A running service, asked with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        self.question = secrets.token_hex(8)

    def about(self) -> dict[str, Any]:
        return self.send("/api/sites", None)

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        return self.send("/api/v2/query", query, question=self.question)

    def share(self) -> float:
        with contextlib.suppress(UserError):  # it is over, or has not begun
            return float(self.send(f"/api/progress/{self.question}", None)["share"])
        return 0.0

    def stop(self) -> None:
        """Nothing to do: the service ends what a command asked when its connection closes."""

    def send(self, path: str, body: object, timeout: float = 60.0, question: str = "") -> dict[str, Any]:
        """The answer's JSON; `timeout` in seconds. Raises UserError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        headers |= {"x-question": question} if question else {}
        request = urllib.request.Request(self.url + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            try:
                told = json.load(error)
                refused = Refused(told["error"], str(told.get("path", "")), str(told.get("nearest", "")))
            except (ValueError, KeyError, TypeError, AttributeError):
                refused = Refused(f"HTTP {error.code}")
            raise refused from None
        except (urllib.error.URLError, OSError) as error:
            raise UserError(f"{self.url}: the service does not answer: {error}") from None


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


def running_service(data_dir: Path) -> Remote | None:
    """The service that owns this data folder, if one runs."""
    try:
        contact = json.loads((data_dir / "service.json").read_text("utf-8"))
        os.kill(contact["process"], 0)
        return Remote(contact["url"], contact["token"])
    except (OSError, ValueError, KeyError):
        return None


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
