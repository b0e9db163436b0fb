"""My data: what is kept under this browser's cookie, to see, take away, correct, restrict, object to and erase."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consent_middleware.pages.choice_request import MAX_TEXT, MAX_TEXT_BODY, BadChoice, parse_form, read_body, words_in
from consent_middleware.pages.my_data_rows import csv_of, decoded, rows_of, table_of
from consent_middleware.pages.refusals import unreadable
from consent_middleware.pages.rendering import page, page_language
from consent_middleware.pages.requests import right_titles
from consent_middleware.pages.same_site import from_this_site
from consent_middleware.pages.words import Words, words_for
from consent_middleware.rights.copies import Copy, look, outdate
from consent_middleware.rights.upkeep import note

if TYPE_CHECKING:
    from consent_middleware.services import Services
    from consent_middleware.spool_values import Kind

log = logging.getLogger("consent_middleware")
VERBS: Final[tuple[Kind, ...]] = ("erase", "restrict", "unrestrict", "object", "correct")
SHOWN_VERBS: Final = ("correct", "restrict", "object", "erase")
# The same request sent again within so many seconds has the same reference.
SAME_SECONDS = 600
# What a script does that finds a copy while a newer one is being prepared.
RETRY_SECONDS = 2
MAX_ROWS_SHOWN = 200
# What the answer says of a right that is in force.
SWITCHES: Final = {"restrict": "restricted", "object": "objected"}
VISITOR_COOKIES = ("__Host-visitor", "visitor")


def visitor_of(request: Request) -> str | None:
    """The visitor id that this browser's cookie holds."""
    name = VISITOR_COOKIES[0] if request.url.scheme == "https" else VISITOR_COOKIES[1]
    return request.cookies.get(name) or None


def ticket_for(services: Services, visitor: str, what: str, now: float) -> str:
    """A ticket that only the holder of the cookie can name: keyed, so that nobody can guess another's."""
    message = f"{what}|{visitor}|{int(now // SAME_SECONDS)}".encode()
    key = b"my data " + services.secret_keys[-1].encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:44]


def copy_ticket(services: Services, visitor: str) -> str:
    """The ticket of a visitor's copy, always the same: a newer copy takes the place of the one before."""
    return ticket_for(services, visitor, "copy", 0.0)


async def show(services: Services, request: Request) -> Response:
    """GET: the page, or with `?format=json` or `csv` the copy itself; 202 while it is being prepared.

    With `after` (ms since 1970) a copy as of then or before counts as none: so a page waits for the newer one.
    """
    form = request.query_params.get("format", "")
    t = words_for(services.policy, page_language(services.policy, request))
    visitor = visitor_of(request)
    copy = await _copy(services, visitor) if visitor else None
    browsed = "text/html" in request.headers.get("accept", "")
    if form in {"json", "csv"} and (visitor or not browsed):  # a page tells a person better that there is nothing
        if copy is not None and copy.as_of <= _after(request):
            copy = None
        if visitor and copy is not None:
            # Noted as answered at once: the copy itself may be taken away before anybody looks whether it lies there.
            ticket = ticket_for(services, visitor, "export", time.time())
            await asyncio.to_thread(note, services.data_dir, "export", ticket, answered=f"taken away as {form}")
        return _download(form, visitor, copy, t)
    done = request.query_params.get("done", "")
    answer = copy.answer if copy is not None else None
    held = decoded(answer)
    rows = rows_of(answer)
    columns, lines = table_of(rows[-MAX_ROWS_SHOWN:][::-1], t)
    return page(
        services,
        request,
        "data.html",
        visitor=visitor,
        copy=copy,
        as_of=f"{dt.datetime.fromtimestamp(copy.as_of / 1000, dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if copy else "",
        lines=lines,
        columns=columns,
        total=len(rows),
        kept=t.span(services.policy.retention.raw_days, "day"),
        in_force={verb for verb, name in SWITCHES.items() if held.get(name) is True},
        done=(arrived := {**right_titles(t), **titles(t)}).get(done, ""),
        still_recorded=done == "erase" and request.scope["consent"].allows(services.policy.capture.purpose),
        reference=request.query_params.get("reference", "")[:8] if done in arrived else "",
        actions=[(verb, titles(t)[verb], explanations(t)[verb]) for verb in SHOWN_VERBS],
        lift=titles(t)["unrestrict"],
        max_correction=MAX_TEXT,
    )


def _after(request: Request) -> int:
    given = request.query_params.get("after", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0


async def _copy(services: Services, visitor: str) -> Copy | None:
    """The copy that is there, if one is; one that is older than a minute is asked for anew, as is none."""
    from consent_middleware.capture import visitor_key

    ticket = copy_ticket(services, visitor)
    copy, asking = await asyncio.to_thread(_look, services, ticket)
    if asking:
        try:
            await services.desk.ask("export", visitor_key(visitor), ticket)
        except OSError:
            if copy is None:
                raise
            log.exception("a newer copy could not be asked for; the one that is there is shown")
    return copy


def _look(services: Services, ticket: str) -> tuple[Copy | None, bool]:
    return look(services.data_dir, ticket, services.desk.answer(ticket), time.time())


def _withdraw_copy(services: Services, visitor: str) -> None:
    """What was prepared for this visitor is gone at once, whether or not the service is running."""
    ticket = copy_ticket(services, visitor)
    services.desk.withdraw([ticket])
    try:
        outdate(services.data_dir, ticket, time.time())
    except OSError:
        log.exception("it could not be noted that copies of before are out of date")


def _download(form: str, visitor: str | None, copy: Copy | None, t: Words) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if visitor is None:
        error = t("There is no visitor cookie in this browser, so there is nothing that we could find by it.")
        return JSONResponse({"state": "no-visitor", "error": error}, 404, headers=headers)
    if copy is None:
        return JSONResponse({"state": "being-prepared"}, 202, headers={**headers, "retry-after": str(RETRY_SECONDS)})
    headers["last-modified"] = formatdate(copy.as_of / 1000, usegmt=True)
    if copy.renewing:
        headers["retry-after"] = str(RETRY_SECONDS)
    headers["content-disposition"] = f'attachment; filename="my-data.{form}"'
    if form == "json":
        return Response(copy.answer, media_type="application/json", headers=headers)
    return Response(csv_of(rows_of(copy.answer)), media_type="text/csv; charset=utf-8", headers=headers)


def titles(t: Words) -> dict[str, str]:
    return {
        "correct": t("Correct"),
        "restrict": t("Restrict"),
        "unrestrict": t("Lift the restriction"),
        "object": t("Object"),
        "erase": t("Erase"),
    }


def explanations(t: Words) -> dict[str, str]:
    return {
        "correct": t("Say what is wrong, and we put it right."),
        "restrict": t("Your data stays where it is, and is left out of every report."),
        "object": t("Your data is left out of every report from now on, also what is still to come."),
        "erase": t(
            "All of it is deleted for good. The proof of your choice stays, with nothing in it that leads to you."
        ),
        "unrestrict": "",
    }


def ask(verb: Kind) -> Callable[[Services, Request], Awaitable[Response]]:
    """The POST route of one right."""

    async def handler(services: Services, request: Request) -> Response:
        from consent_middleware.capture import visitor_key
        from consent_middleware.ledger import LedgerUnavailable

        t = words_for(services.policy, page_language(services.policy, request))
        if not from_this_site(request.headers):
            title = t("This request did not come from this site")
            lines = [t("To be safe, nothing was changed. Open the privacy choices of this site and choose there.")]
            return page(services, request, "message.html", status=403, title=title, lines=lines, return_to="/")
        visitor = visitor_of(request)
        if visitor is None:
            title = t("My data")
            lines = [t("There is no visitor cookie in this browser, so there is nothing that we could find by it.")]
            return page(services, request, "message.html", status=404, title=title, lines=lines, return_to="/")
        try:
            fields = parse_form(await read_body(request, MAX_TEXT_BODY))
            text = words_in(fields) if verb == "correct" else ""
        except BadChoice as error:
            return unreadable(services, request, error)
        ticket = ticket_for(services, visitor, f"{verb} {text}", time.time())
        record_id = request.scope["consent"].record_id
        if verb == "erase" and record_id is not None:
            # The proof of consent stays, countable; what led from it to this visitor goes.
            try:
                await asyncio.to_thread(services.ledger.forget, record_id)
            except LedgerUnavailable:
                lines = [t("We could not erase your data right now. Please try again later.")]
                return page(
                    services, request, "message.html", status=503, title=t("My data"), lines=lines, return_to="/"
                )
        await services.desk.ask(verb, visitor_key(visitor), ticket, text)
        # What was prepared before is out of date now: the page shows what is true after the request.
        await asyncio.to_thread(_withdraw_copy, services, visitor)
        await asyncio.to_thread(note, services.data_dir, verb, ticket, text)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"state": "accepted", "request": verb, "reference": ticket[:8]}, 202)
        query = urlencode({"done": verb, "reference": ticket[:8]})
        return RedirectResponse(
            f"{services.policy.site.prefix}/data?{query}", 303, headers={"cache-control": "no-store"}
        )

    return handler
