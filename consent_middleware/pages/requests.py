"""Requests that no cookie can answer: confirmed by a link from an e-mail, an end to marketing, a complaint."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consent_middleware.pages.choice_request import MAX_TEXT_BODY, BadChoice, parse_form, read_body, words_in
from consent_middleware.pages.refusals import unreadable
from consent_middleware.pages.rendering import page, page_language
from consent_middleware.pages.same_site import from_this_site
from consent_middleware.pages.words import Words, words_for

if TYPE_CHECKING:
    from consent_middleware.rights.links import Asked
    from consent_middleware.rights.request import Request as Noted
    from consent_middleware.services import Services

SAME_SECONDS = 600
REQUESTS_A_MINUTE = 20  # from one address


def right_titles(t: Words) -> dict[str, str]:
    """Each right of the register as its button names it."""
    return {
        "access": t("My data"),
        "portability": t("My data"),
        "correction": t("Correct"),
        "erasure": t("Erase"),
        "restriction": t("Restrict"),
        "objection": t("Object"),
        "marketing-objection": t("To stop direct marketing"),
        "complaint": t("How to complain"),
    }


async def confirm(services: Services, request: Request) -> Response:
    """GET shows a button, POST opens the request; a copy is the answer itself, where the site's tables can be asked."""
    from consent_middleware.ledger import LedgerUnavailable
    from consent_middleware.rights.links import BadLink, RequestLinks
    from consent_middleware.rights.opening import open_with
    from consent_middleware.rights.register import Register

    t = words_for(services.policy, page_language(services.policy, request))
    links = RequestLinks(services.secret_keys)
    try:
        if request.method != "POST":
            token = request.query_params.get("token", "")
            what = right_titles(t)[links.read(token).right]
            return page(services, request, "confirm.html", title=what, token=token)
        token = parse_form(await read_body(request)).get("token", [""])[-1]
        asked = links.read(token)
        if asked.right == "marketing-objection":
            ticket = f"link-{hashlib.sha256(asked.nonce.encode()).hexdigest()[:32]}"
            noted = await open_with(
                services, "marketing-objection", asked.address, identity="e-mail link", text=asked.text, ticket=ticket,
                by="e-mail link",
            )  # fmt: skip
        else:
            noted = await asyncio.to_thread(links.open, Register(services.data_dir), asked)
            if noted.right in ("access", "portability") and (copy := await _copy(services, asked, noted)):
                return copy
    except BadLink as error:
        line = t("Write to: %(contact)s", contact=services.policy.controller.contact)
        return _message(services, request, t("My data"), line, 410 if error.reason == "expired" else 400)
    except BadChoice as error:
        return unreadable(services, request, error)
    except LedgerUnavailable as error:
        return JSONResponse({"error": str(error)}, 503)
    return _arrived(services, request, noted)


async def _copy(services: Services, asked: Asked, noted: Noted) -> Response | None:
    """The package at once; None where somebody has to look, because nobody said where the site's own tables are."""
    from consent_middleware.rights.acting import Office, act
    from consent_middleware.rights.providers import ProviderError, asked_of_the_site
    from consent_middleware.rights.register import Register

    def make() -> bytes | None:
        try:
            whole = asked_of_the_site(services.policy)
            done = act(Office(services.policy, services.data_dir, services.ledger, whole), noted)
        except ProviderError:
            return None
        if done.whole and noted.closed is None:
            told = f"taken away by the person: {done.told}"
            Register(services.data_dir).step(noted.number, "answered", by="automatic", text=told)
        return done.package if done.whole else None

    package = await asyncio.to_thread(make)
    if package is None:
        return None
    name = f"my-data-{noted.number}.zip"
    headers = {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-disposition": f'attachment; filename="{name}"',
    }
    return Response(package, media_type="application/zip", headers=headers)


async def stop_marketing(services: Services, request: Request) -> Response:
    """POST an address: it goes onto the suppression list at once. Nothing is told of whether it is known here."""
    from consent_middleware.ledger import LedgerUnavailable
    from consent_middleware.rights.opening import UNPROVED, open_with

    t = words_for(services.policy, page_language(services.policy, request))
    if (refused := _foreign(services, request, t) or _too_many(services, request)) is not None:
        return refused
    try:
        address = parse_form(await read_body(request)).get("address", [""])[-1].strip()[:254]
        ticket = _ticket(services, "marketing", address)
        noted = await open_with(
            services, "marketing-objection", address, identity=UNPROVED, ticket=ticket, by="my-data page"
        )
    except ValueError as error:
        return unreadable(services, request, error)
    except LedgerUnavailable:
        line = t("We could not record your choice. Nothing has been switched on. Please try again later.")
        return _message(services, request, right_titles(t)["marketing-objection"], line, 503)
    return _arrived(services, request, noted)


async def complain(services: Services, request: Request) -> Response:
    """POST a complaint to whoever runs the site; it is in the register with its own deadline."""
    from consent_middleware.pages.my_data import visitor_of
    from consent_middleware.rights.opening import open_with

    t = words_for(services.policy, page_language(services.policy, request))
    if (refused := _foreign(services, request, t) or _too_many(services, request)) is not None:
        return refused
    try:
        text = words_in(parse_form(await read_body(request, MAX_TEXT_BODY)))
        if not text:
            raise BadChoice("a complaint needs words")
    except BadChoice as error:
        return unreadable(services, request, error)
    visitor = visitor_of(request)
    ticket = _ticket(services, f"complaint {visitor}", text)
    noted = await open_with(
        services,
        "complaint",
        f"visitor with reference {ticket[:8]}",
        identity="cookie" if visitor else "none",
        text=text,
        ticket=ticket,
        by="my-data page",
    )
    return _arrived(services, request, noted)


def _ticket(services: Services, what: str, value: str) -> str:
    """The same for the same words within some minutes, so that a second click is no second request."""
    message = f"{what}|{value.casefold()}|{int(time.time() // SAME_SECONDS)}|{services.secret_keys[-1]}"
    return hashlib.sha256(message.encode()).hexdigest()[:44]


def _too_many(services: Services, request: Request) -> Response | None:
    """What needs no cookie could be sent without end, and each request is written down for years."""
    from consent_middleware.collect import RateLimit

    limit: RateLimit = services.policy.__dict__.setdefault("_requests_limit", RateLimit(REQUESTS_A_MINUTE))
    if limit.allows(services.client.address(request.scope), 1):
        return None
    return JSONResponse({"error": "too many requests"}, 429, headers={"retry-after": "60"})


def _foreign(services: Services, request: Request, t: Words) -> Response | None:
    if from_this_site(request.headers):
        return None
    lines = t("To be safe, nothing was changed. Open the privacy choices of this site and choose there.")
    return _message(services, request, t("This request did not come from this site"), lines, 403)


def _arrived(services: Services, request: Request, noted: Noted) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        told = {"state": "accepted", "request": noted.right, "reference": str(noted.number), "due": str(noted.due)}
        return JSONResponse(told, 202)
    query = urlencode({"done": noted.right, "reference": noted.number})
    return RedirectResponse(f"{services.policy.site.prefix}/data?{query}", 303, headers={"cache-control": "no-store"})


def _message(services: Services, request: Request, title: str, line: str, status: int = 200) -> Response:
    return page(services, request, "message.html", status=status, title=title, lines=[line], return_to="/")
