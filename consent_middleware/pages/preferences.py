"""The preferences page: shows the present choice, takes a new one, and leads back to where the visitor was."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consent_middleware.pages.banner import STATISTICS_REGIMES, notice, storage_keys
from consent_middleware.pages.choice_request import BadChoice, ChoiceRequest, check_purposes, read_choice
from consent_middleware.pages.memory import remembered
from consent_middleware.pages.purposes import purpose_cards
from consent_middleware.pages.receipt import one_time_link
from consent_middleware.pages.refusals import refused, unreadable
from consent_middleware.pages.rendering import page, page_language, render
from consent_middleware.pages.revisions import keep
from consent_middleware.pages.same_site import from_this_site, safe_return
from consent_middleware.pages.words import Words, words_for

if TYPE_CHECKING:
    from consent_middleware.decision import Decision
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

# What the ledger calls the way a choice was made.
METHODS = {"banner": "banner", "preferences": "preferences", "control": "preferences", "placeholder": "banner"}


# What a redirect says of a choice after which the visits captured before it are erased.
ERASED = "erased"
# Stands between the introduction and the cards, where the page tells what is chosen at present.
SLOT = "\x02"


def purposes_html(policy: PrivacyPolicy, language: str, regime: str, granted: frozenset[str]) -> str:
    """Introduction and the cards of all purposes, ticked as `granted` says, with SLOT between them."""

    def draw() -> str:
        t = words_for(policy, language)
        cards = purpose_cards(policy, t)
        return render("purposes.html", policy, t, cards=cards, granted=granted, regime=regime, slot=SLOT)

    return remembered(policy, ("purposes", language, regime, granted), draw)


def shown(policy: PrivacyPolicy, language: str, regime: str, source: str) -> bytes:
    """Exactly what stood before the visitor when the choice was made, without anything personal."""
    if source in {"banner", "placeholder"}:
        return notice(policy, language, regime)
    return purposes_html(policy, language, regime, frozenset()).replace(SLOT, "").encode()


def _saved(t: Words, *, erases: bool) -> str:
    said = [t("Your choice is saved.")]
    if erases:
        said.append(t("The visits recorded with your consent are being erased."))
    return " ".join(said)


async def show(
    services: Services, request: Request, *, status: int = 200, message: str = "", receipt: str = ""
) -> Response:
    """GET: every purpose, the present choice and its date, and one button that takes everything back."""
    policy = services.policy
    decision: Decision = request.scope["consent"]
    language = page_language(policy, request)
    host = request.headers.get("host", "")
    referer = request.headers.get("referer", "")
    return_to = safe_return(request.query_params.get("return") or referer, host)
    if return_to.startswith(policy.site.prefix + "/") and "return" not in request.query_params:
        return_to = "/"
    t = words_for(policy, language)
    if request.query_params.get("saved") and not message:
        message = _saved(
            t, erases=request.query_params["saved"] == ERASED and not decision.allows(policy.capture.purpose)
        )
        if once := request.query_params.get("receipt"):
            receipt = f"{policy.site.prefix}/receipt?once={quote(once)}"
    granted = decision.granted & policy.optional_purposes
    at = dt.datetime.fromtimestamp(decision.at, dt.UTC).date() if decision.decided and decision.at else None
    introduction, _, cards = purposes_html(policy, language, decision.regime, granted).partition(SLOT)
    return page(
        services,
        request,
        "preferences.html",
        status=status,
        message=message,
        receipt=receipt,
        before_cards=Markup(introduction),
        cards=Markup(cards),
        granted=granted,
        at=at,
        end=at + dt.timedelta(days=policy.consent.lifetime_days) if at else None,
        has_receipt=decision.record_id is not None,
        gpc="gpc" in decision.signals,
        objectable=decision.regime in STATISTICS_REGIMES and policy.capture.purpose in policy.optional_purposes,
        objected=decision.decided and policy.capture.purpose not in decision.granted,
        return_to=return_to,
    )


async def choose(services: Services, request: Request) -> Response:
    """POST: record a choice, then hand out the cookie; never the other way round."""
    policy = services.policy
    decision: Decision = request.scope["consent"]
    t = words_for(policy, page_language(policy, request))
    if not from_this_site(request.headers):
        return refused(
            services,
            request,
            403,
            t("This request did not come from this site"),
            t("To be safe, nothing was changed. Open the privacy choices of this site and choose there."),
        )
    try:
        sent = await read_choice(request)
    except BadChoice as error:
        return unreadable(services, request, error)
    return_to = safe_return(sent.return_to or request.headers.get("referer"), request.headers.get("host", ""))
    if sent.choice == "choose":
        return RedirectResponse(f"{policy.site.prefix}/?{urlencode({'return': return_to})}", 303)
    if sent.fingerprint and sent.fingerprint != policy.fingerprint:
        message = t("The privacy policy has changed in the meantime. Please choose again.")
        if sent.as_json:
            return JSONResponse({"error": message}, 409)
        return await show(services, request, status=409, message=message)
    # After the fingerprint: a form of an older policy may name a purpose that is gone, and is asked again.
    try:
        check_purposes(sent, policy)
    except BadChoice as error:
        return unreadable(services, request, error)
    return await record(services, request, sent, decision, return_to)


def granted_by(sent: ChoiceRequest, policy: PrivacyPolicy, before: frozenset[str]) -> frozenset[str]:
    """The optional purposes that a request says yes to, given what was granted before."""
    optional = policy.optional_purposes
    match sent.choice:
        case "accept":
            return optional
        case "save":
            return sent.purposes & optional
        case "add":
            return (before | sent.purposes) & optional
        case "object":
            return (before & optional) - {policy.capture.purpose}
        case _:
            return frozenset()


async def record(
    services: Services, request: Request, sent: ChoiceRequest, decision: Decision, return_to: str
) -> Response:
    from consent_middleware.decide import decide
    from consent_middleware.ledger import LedgerUnavailable

    policy = services.policy
    language = sent.language if sent.language in policy.site.languages else page_language(policy, request)
    t = words_for(policy, language)
    before = decision.granted & policy.optional_purposes
    granted = granted_by(sent, policy, before)
    await keep(services)
    try:
        outcome = await decide(
            services,
            request.scope,
            granted=granted,
            method=METHODS.get(sent.source, "API"),
            language=language,
            shown=shown(policy, language, decision.regime, sent.source),
        )
    except LedgerUnavailable:
        failed = t("We could not record your choice. Nothing has been switched on. Please try again later.")
        if sent.as_json:
            return JSONResponse({"error": failed}, 503, headers={"retry-after": "30"})
        return refused(services, request, 503, t("Your choice is not stored"), failed)
    # A withdrawal leaves a cookie without an identifier: the receipt can be fetched now, and not later.
    once = ""
    saved = ERASED if outcome.erases else "1"
    if decision.record_id and outcome.choice.record_id is None:
        once = one_time_link(services, decision.record_id)
    response: Response
    if sent.as_json:
        held = policy.required_purposes | granted
        response = JSONResponse(
            {
                "decided": True,
                "purposes": {purpose.id: purpose.id in held for purpose in policy.purposes},
                "regime": decision.regime,
                "signals": list(decision.signals),
                "revision": policy.revision,
                "message": _saved(t, erases=outcome.erases),
                "clear": storage_keys(policy, policy.optional_purposes - granted),
                "receipt": f"{policy.site.prefix}/receipt?once={once}" if once else None,
            }
        )
    elif once:
        response = RedirectResponse(
            f"{policy.site.prefix}/?{urlencode({'saved': saved, 'receipt': once, 'return': return_to})}", 303
        )
    elif request.headers.get("cookie") and sent.source != "preferences":
        response = RedirectResponse(return_to, 303)
    elif sent.source == "preferences" and request.headers.get("cookie"):
        response = RedirectResponse(f"{policy.site.prefix}/?{urlencode({'saved': saved, 'return': return_to})}", 303)
    else:
        # No cookie came, so it is not known yet whether this browser keeps any: look once, and do not loop.
        query = urlencode({"return": return_to, "lang": language})
        response = RedirectResponse(f"{policy.site.prefix}/stored?{query}", 303)
    for value in outcome.set_cookies:
        response.raw_headers.append((b"set-cookie", value))
    response.headers["cache-control"] = "no-store"
    if policy.site.clear_site_data and before and not granted:
        response.headers["clear-site-data"] = '"storage"'
    return response


async def stored(services: Services, request: Request) -> Response:
    """Where a first choice leads: on to the page when the cookie came back, else an explanation."""
    decision: Decision = request.scope["consent"]
    return_to = safe_return(request.query_params.get("return"), request.headers.get("host", ""))
    if decision.decided:
        return RedirectResponse(return_to, 303, headers={"cache-control": "no-store"})
    t = words_for(services.policy, page_language(services.policy, request))
    return page(
        services,
        request,
        "message.html",
        title=t("Your choice is not stored"),
        lines=[
            t("Your browser does not keep cookies, so we cannot store your choice."),
            t("We treat it as a refusal: nothing is switched on."),
        ],
        return_to=return_to,
    )


async def state(services: Services, request: Request) -> Response:
    """The decision as JSON, for scripts and for pages from a shared cache."""
    policy = services.policy
    decision: Decision = request.scope["consent"]
    headers = {"cache-control": "no-store", "vary": "Cookie"}
    return JSONResponse(
        {
            "decided": decision.decided,
            "purposes": {purpose.id: decision.allows(purpose.id) for purpose in policy.purposes},
            "regime": decision.regime,
            "signals": list(decision.signals),
            "revision": policy.revision,
        },
        headers=headers,
    )
