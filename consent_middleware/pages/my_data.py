"""My data: what is kept under this browser's cookie, to see, take away, correct, restrict, object to and erase."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
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
from consent_middleware.rights.desk import ANSWER_SECONDS
from consent_middleware.rights.upkeep import note

if TYPE_CHECKING:
    from consent_middleware.services import Services
    from consent_middleware.spool import Kind

VERBS: Final[tuple[Kind, ...]] = ("erase", "restrict", "unrestrict", "object", "correct")
SHOWN_VERBS: Final = ("correct", "restrict", "object", "erase")
# An answer is asked for once in so many seconds for each visitor; whoever comes back sooner reads the same one.
FRESH_SECONDS = 600
# An answer that has not come by then is asked for again: an erasure took it away, or the service was not running.
ASK_AGAIN_SECONDS = 30
MAX_ROWS_SHOWN = 200
MAX_ASKED = 10_000
# What the answer says of a right that is in force.
SWITCHES: Final = {"restrict": "restricted", "object": "objected"}
VISITOR_COOKIES = ("__Host-visitor", "visitor")


def visitor_of(request: Request) -> str | None:
    """The visitor id that this browser's cookie holds."""
    name = VISITOR_COOKIES[0] if request.url.scheme == "https" else VISITOR_COOKIES[1]
    return request.cookies.get(name) or None


def ticket_for(services: Services, visitor: str, what: str, now: float) -> str:
    """A ticket that only the holder of the cookie can name: keyed, so that nobody can guess another's."""
    message = f"{what}|{visitor}|{int(now // FRESH_SECONDS)}".encode()
    key = b"my data " + services.secret_keys[-1].encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:44]


async def show(services: Services, request: Request) -> Response:
    """GET: the page, or with `?format=json` or `csv` the answer itself; 202 while it is being prepared."""
    form = request.query_params.get("format", "")
    t = words_for(services.policy, page_language(services.policy, request))
    visitor = visitor_of(request)
    answer = await _answer(services, visitor) if visitor else None
    browsed = "text/html" in request.headers.get("accept", "")
    if form in {"json", "csv"} and (visitor or not browsed):  # a page tells a person better that there is nothing
        if visitor and answer is not None:
            # Noted as answered at once: the copy itself may be taken away before anybody looks whether it lies there.
            ticket = ticket_for(services, visitor, "export", time.time())
            await asyncio.to_thread(note, services.data_dir, "export", ticket, answered=f"taken away as {form}")
        return _download(form, visitor, answer, t)
    done = request.query_params.get("done", "")
    held = decoded(answer)
    rows = rows_of(answer)
    columns, lines = table_of(rows[-MAX_ROWS_SHOWN:][::-1], t)
    return page(
        services,
        request,
        "data.html",
        visitor=visitor,
        ready=answer is not None,
        lines=lines,
        columns=columns,
        total=len(rows),
        kept=t.span(services.policy.retention.raw_days, "day"),
        in_force={verb for verb, name in SWITCHES.items() if held.get(name) is True},
        done=(arrived := {**right_titles(t), **titles(t)}).get(done, ""),
        reference=request.query_params.get("reference", "")[:8] if done in arrived else "",
        actions=[(verb, titles(t)[verb], explanations(t)[verb]) for verb in SHOWN_VERBS],
        lift=titles(t)["unrestrict"],
        max_correction=MAX_TEXT,
    )


async def _answer(services: Services, visitor: str) -> bytes | None:
    from consent_middleware.capture import visitor_key

    now = time.time()
    ticket = ticket_for(services, visitor, "export", now)
    if (answer := services.desk.answer(ticket)) is not None:
        return answer
    asked = _asked(services)
    if now - asked.get(ticket, 0.0) > ASK_AGAIN_SECONDS:
        if len(asked) >= MAX_ASKED:
            asked.clear()
        asked[ticket] = now
        await services.desk.ask("export", visitor_key(visitor), ticket)
    return None


def _asked(services: Services) -> dict[str, float]:
    """When this worker asked for an answer, by its ticket."""
    asked: dict[str, float] = services.policy.__dict__.setdefault("_asked", {})
    return asked


def _withdraw_answers(services: Services, visitor: str) -> None:
    """What was prepared for this visitor in the last day is gone at once, whether or not the service is running."""
    now = time.time()
    moments = (now - back * FRESH_SECONDS for back in range(ANSWER_SECONDS // FRESH_SECONDS + 1))
    services.desk.withdraw(ticket_for(services, visitor, "export", moment) for moment in moments)
    _asked(services).pop(ticket_for(services, visitor, "export", now), None)


def _download(form: str, visitor: str | None, answer: bytes | None, t: Words) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if visitor is None:
        error = t("There is no visitor cookie in this browser, so there is nothing that we could find by it.")
        return JSONResponse({"state": "no-visitor", "error": error}, 404, headers=headers)
    if answer is None:
        return JSONResponse({"state": "being-prepared"}, 202, headers={**headers, "retry-after": "2"})
    headers["content-disposition"] = f'attachment; filename="my-data.{form}"'
    if form == "json":
        return Response(answer, media_type="application/json", headers=headers)
    return Response(csv_of(rows_of(answer)), media_type="text/csv; charset=utf-8", headers=headers)


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
        await asyncio.to_thread(_withdraw_answers, services, visitor)
        await asyncio.to_thread(note, services.data_dir, verb, ticket, text)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"state": "accepted", "request": verb, "reference": ticket[:8]}, 202)
        query = urlencode({"done": verb, "reference": ticket[:8]})
        return RedirectResponse(
            f"{services.policy.site.prefix}/data?{query}", 303, headers={"cache-control": "no-store"}
        )

    return handler
