"""The way of an errand into the running service: a route of the service, and the command's side of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analytics import errands
from analytics.errands import Errand
from analytics.reports.api import body_of, refuse, reply
from analytics.reports.errors import QueryError
from analytics.reports.guard import Guard
from analytics.reports.remote import Remote
from analytics.store import StoreError, open_store
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy

PATH: Final = "/api/errand"
MAX_BODY: Final = 100_000
PATIENCE: Final = 24 * 3600.0  # seconds; a log of a year takes its time, and a service that ends closes the line
log = logging.getLogger("analytics")


class Sent(msgspec.Struct, frozen=True):
    """An errand with the absolute path of the policy file that it was asked under."""

    errand: Errand
    policy: str | None = None


class Relay:
    """The route. Open to the commands of this machine alone: no token that anybody was given is enough."""

    def __init__(self, data_dir: Path, guard: Guard, store_url: str | None = None) -> None:
        self.data_dir, self.guard, self.store_url = data_dir, guard, store_url

    def routes(self) -> list[Route]:
        return [Route(PATH, self._errand, methods=["POST"])]

    async def _errand(self, request: Request) -> Response:
        if self.guard.blocked(request):
            return refuse(429, "Too many failed attempts: wait five minutes.")
        grant = self.guard.grant(request)
        if grant is None or not grant.is_local:
            return refuse(401, "Errands are taken from the commands of this machine only.")
        try:
            sent = msgspec.json.decode(await body_of(request, MAX_BODY), type=Sent)
            return reply(await asyncio.to_thread(self._do, sent))
        except (msgspec.DecodeError, QueryError) as error:
            return refuse(400, f"the command and the service do not understand each other, restart it: {error}")
        except (UserError, PolicyError, StoreError) as error:
            return refuse(400, str(error))
        except Exception as error:
            log.exception("an errand failed")
            return refuse(500, f"the service failed, its log says where: {error}")

    def _do(self, sent: Sent) -> Any:
        """Through a client of its own: the loader's must not wait behind an import."""
        policy = PrivacyPolicy.load(Path(sent.policy)) if sent.policy else None
        with open_store(self.store_url, self.data_dir, migrate=False) as store:
            return errands.do(sent.errand, store, self.data_dir, policy)


def send(service: Remote, errand: Errand, policy: Path | None) -> Any:
    """Let the service do it; the answer as the function would give it. Raises UserError."""
    sent = Sent(errand, str(policy.absolute()) if policy else None)
    answer = service.send(PATH, msgspec.to_builtins(sent, str_keys=True), PATIENCE)
    return msgspec.convert(answer, errands.ANSWERS[type(errand)], strict=False)
