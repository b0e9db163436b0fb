"""Doing what a request asks for in every place that the product reaches: ledger, visits, and the site's own tables."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from consent_middleware.ledger import Ledger
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights import answering, visits
from consent_middleware.rights import providers as hooks
from consent_middleware.rights.register import RegisterError
from consent_middleware.rights.request import NOTHING_HELD, Request, record_of
from consent_middleware.suppression import SuppressionList
from consent_middleware.words import counted

EVERY_VISIT: Final = "every visit of theirs"


class Office(msgspec.Struct, frozen=True):
    """Where a request is worked on. `site_asked`: whether somebody said where the site's own tables are."""

    policy: PrivacyPolicy
    data_dir: Path
    ledger: Ledger
    site_asked: bool
    wait: float = 20.0  # seconds for the analytics service


class Result(msgspec.Struct, frozen=True):
    """What was done, in a sentence for the register; `package` for access and portability; `whole`: in every place.

    `by_hand` names the places that hold something which nothing here could change.
    """

    told: str
    whole: bool
    by_hand: tuple[str, ...] = ()
    package: bytes | None = None


def act(office: Office, request: Request, changes: Sequence[str] = ()) -> Result:
    """Raises RegisterError, ProviderError, LedgerUnavailable."""
    if request.held and request.right == "erasure":
        raise RegisterError(f"request {request.number} is on hold: {request.held.text}; release it first")
    if changes and request.right != "correction":
        raise RegisterError(f"request {request.number} is about {request.right}: --set belongs to a correction")
    changing = request.right in {"erasure", "correction", "restriction", "objection"}
    held = _held(office, request.subject) if changing else {}
    match request.right:
        case "access" | "portability":
            return _copy(office, request)
        case "erasure":
            told, done = _erase(office, request)
        case "correction":
            told, done = _correct(office, request, changes)
        case "restriction":
            told, done = _switch(office, request, "restrict", "restricted", True)
        case "objection":
            told, done = _switch(office, request, "object", "objected")
        case "marketing-objection":
            return stop_marketing(office, request.subject)
        case _:
            return Result("answered in writing", True)
    if not held:
        return _with_the_site(office, f"{NOTHING_HELD} in: {', '.join(_places(request))}")
    by_hand = tuple(name for name, count in done.items() if count is None and name in held)
    if request.right == "correction":
        # A table without the field has nothing to correct; where no row was reached, somebody has to look.
        fields = {change.partition("=")[0] for change in changes}
        by_hand = tuple(name for name in by_hand if fields & held[name]) if any(done.values()) else tuple(held)
    return msgspec.structs.replace(_with_the_site(office, told), by_hand=by_hand)


def _held(office: Office, subject: str) -> dict[str, set[str]]:
    """The places that hold something about a subject, each with its fields; asked before anything is done there."""
    found = {holding.place: {*chain(*holding.rows)} for holding in answering.gather(office.ledger, subject)}
    return found if visits.visitor_behind(office.ledger, subject) is None else {**found, "visits": set()}


def _places(request: Request) -> list[str]:
    """Where something about the subject was looked for."""
    return ["consents", *hooks.providers(), *(["visits"] if record_of(request.subject) is not None else [])]


def _with_the_site(office: Office, told: str) -> Result:
    if office.site_asked:
        return Result(told, True)
    return Result(f"{told}; the site's own tables were not asked: {hooks.HOW_TO_NAME_HOOKS}", False)


def _copy(office: Office, request: Request) -> Result:
    holdings = answering.gather(office.ledger, request.subject)
    visitor = visits.visitor_behind(office.ledger, request.subject)
    asked = _places(request)
    if visitor is not None:
        answer = visits.ask(office.data_dir, office.ledger, request, "export", visitor, office.wait)
        if answer["rows"]:
            holdings.append(answering.Holding("visits", answer["rows"]))
    found = ", ".join(_rows(len(holding.rows), holding.place) for holding in holdings)
    package = answering.package(office.policy, request, holdings, asked, site_asked=office.site_asked)
    told = found or f"{NOTHING_HELD} in: {', '.join(asked)}"
    result = _with_the_site(office, told)
    return msgspec.structs.replace(result, package=package)


def _erase(office: Office, request: Request) -> tuple[str, dict[str, int | None]]:
    records = answering.records_about(office.ledger, request.subject)  # before the rows that lead there are gone
    done = hooks_done("erase", request.subject)
    visitor = visits.visitor_behind(office.ledger, request.subject)
    if visitor is not None:
        answer = visits.ask(office.data_dir, office.ledger, request, "erase", visitor, office.wait)
        done["visits"] = int(answer["erased_rows"])
    forgotten = sum(office.ledger.forget(record) for record in records)
    return _counted("erased", done) + f"; the proof of {counted(forgotten, 'consent')} leads to nobody any more", done


def _correct(office: Office, request: Request, changes: Sequence[str]) -> tuple[str, dict[str, int | None]]:
    pairs = [change.partition("=") for change in changes]
    if not pairs or not all(separator for _, separator, _ in pairs):
        raise RegisterError("a correction needs what to write: --set FIELD=VALUE")
    done: dict[str, int | None] = {}
    for field, _, value in pairs:
        for name, count in hooks_done("correct", request.subject, field, value).items():
            done[name] = None if count is None else (done.get(name) or 0) + count
    return _counted("corrected", done), done


def _switch(
    office: Office, request: Request, kind: str, verb: str, *arguments: object
) -> tuple[str, dict[str, int | None]]:
    """Restriction and objection: the site's rows by its hooks, visits by the desk."""
    done = hooks_done(kind, request.subject, *arguments)
    visitor = visits.visitor_behind(office.ledger, request.subject)
    if visitor is not None:
        visits.ask(
            office.data_dir,
            office.ledger,
            request,
            "restrict" if kind == "restrict" else "object",
            visitor,
            office.wait,
        )
        done[EVERY_VISIT] = 1
    return _counted(verb, done), done


def stop_marketing(office: Office, subject: str) -> Result:
    """Article 21(3): the address goes onto the suppression list first, which binds every later import and mailing.

    Raises RegisterError for what is no address.
    """
    try:
        asyncio.run(SuppressionList(office.ledger, office.policy).note(subject, method="operator"))
    except ValueError as error:
        raise RegisterError(str(error)) from None
    done = hooks_done("stop_marketing", subject)
    told = "suppressed at once, for every later import and mailing"
    return _with_the_site(office, f"{told}; {_counted('stopped', done)}" if done else told)


def hooks_done(ability: str, subject: str, *arguments: object) -> dict[str, int | None]:
    """Rows reached by each provider's name; None where it does not offer that. Raises ProviderError."""
    return {name: hooks.call(name, ability, subject, *arguments) for name in hooks.providers()}


def _counted(verb: str, done: dict[str, int | None]) -> str:
    reached = ", ".join(_rows(count, name) for name, count in done.items() if count is not None) or "nothing"
    unable = ", ".join(name for name, count in done.items() if count is None)
    return f"{verb}: {reached}" + (f"; by hand: {unable}" if unable else "")


def _rows(count: int, place: str) -> str:
    return place if place == EVERY_VISIT else f"{counted(count, 'row')} in {place}"
