"""Answers to a request that changes nothing: a page for a visitor, JSON for a script, both with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from consent_middleware.pages.rendering import page, page_headers, page_language
from consent_middleware.pages.same_site import safe_return
from consent_middleware.pages.words import words_for

if TYPE_CHECKING:
    from consent_middleware.services import Services

FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


def wants_json(request: Request) -> bool:
    """Whether a script asks rather than a person: by what it accepts, else by what it sent."""
    accepts = request.headers.get("accept", "")
    if "text/html" in accepts:
        return False
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return "application/json" in accepts or kind not in FORMS


def refused(services: Services, request: Request, status: int, title: str, line: str) -> Response:
    """Not now, or not from there: `title` says that nothing was done, `line` what to do."""
    if request.headers.get("content-type", "").startswith("application/json"):
        headers = page_headers(page_language(services.policy, request), private=True)
        return JSONResponse({"error": f"{title}. {line}"}, status, headers=headers)
    host = request.headers.get("host", "")
    return_to = safe_return(request.headers.get("referer"), host) if status == 503 else "/"
    return page(services, request, "message.html", status=status, title=title, lines=[line], return_to=return_to)


def unreadable(services: Services, request: Request, error: ValueError) -> Response:
    """400: what was sent is no request of ours. The reason is for whoever wrote the form or script, in English."""
    if wants_json(request):
        return JSONResponse({"error": str(error)}, 400, headers={"cache-control": "no-store"})
    t = words_for(services.policy, page_language(services.policy, request))
    return page(
        services,
        request,
        "message.html",
        status=400,
        title=t("We could not read what you sent"),
        lines=[t("Nothing was changed. Please go back and try again.")],
        reason=str(error),
        return_to=safe_return(request.headers.get("referer"), request.headers.get("host", "")),
    )
