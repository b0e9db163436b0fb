"""The site itself, as it would stand without any consent software: a plain Starlette application.

It sets its cookies on every visit, as real sites do; it is the middleware around it (`app.py`) that holds them back.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from consent_middleware import record_consent
from examples.law_group.content import ARTICLES, EVENTS, MEMBERS
from examples.law_group.records import SiteRecords

HERE = Path(__file__).parent
YEAR = 365 * 86400
NEWSLETTER_WORDS = "Send me the group’s newsletter, about six times a year. I can stop it at any time."
PUBLISH_WORDS = "Publish my name, practice and town in the public members’ directory."
SHARE_WORDS = (
    "Share my contact details with the organisers of the training events I book: Ashby Mediation, Winter School."
)

templates = Jinja2Templates(HERE / "templates")


class LawGroupSite:
    """The pages; `partner` is the third party's address, `records` the site's own tables."""

    def __init__(self, records: SiteRecords, partner: str) -> None:
        self.records = records
        self.partner = partner.rstrip("/")

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        reading = request.query_params.get("reading") or request.cookies.get("lg_reading", "comfortable")
        reading = reading if reading in {"comfortable", "large"} else "comfortable"
        context = {"partner": self.partner, "reading": reading, "path": request.url.path, **values}
        response = templates.TemplateResponse(request, template, context, status_code=status)
        self.set_cookies(request, response, reading)
        return response

    def set_cookies(self, request: Request, response: Response, reading: str) -> None:
        """What the site would like to set: one that it needs, one for comfort, one for statistics, one forgotten."""
        if "lg_session" not in request.cookies:
            response.set_cookie("lg_session", secrets.token_urlsafe(16), httponly=True, samesite="lax")
        response.set_cookie("lg_reading", reading, max_age=YEAR, samesite="lax")
        seen = request.cookies.get("lg_stats", "0").partition(".")[0]
        count = int(seen) + 1 if seen.isascii() and seen.isdigit() and len(seen) < 9 else 1
        response.set_cookie("lg_stats", f"{count}.{secrets.token_hex(8)}", max_age=2 * YEAR, samesite="lax")
        response.set_cookie("promo_ref", "winter-campaign", max_age=YEAR, samesite="lax")

    async def home(self, request: Request) -> Response:
        return self.page(request, "home.html", members=MEMBERS[:4], articles=ARTICLES[:3], events=EVENTS[:2])

    async def about(self, request: Request) -> Response:
        return self.page(request, "about.html")

    async def members(self, request: Request) -> Response:
        wanted = request.query_params.get("area", "")
        areas = sorted({area for member in MEMBERS for area in member.areas})
        found = [member for member in MEMBERS if not wanted or wanted in member.areas]
        return self.page(request, "members.html", members=found, areas=areas, wanted=wanted)

    async def member(self, request: Request) -> Response:
        member = next((m for m in MEMBERS if m.slug == request.path_params["slug"]), None)
        if member is None:
            raise HTTPException(404)
        return self.page(request, "member.html", member=member)

    async def articles(self, request: Request) -> Response:
        return self.page(request, "articles.html", articles=ARTICLES)

    async def article(self, request: Request) -> Response:
        article = next((a for a in ARTICLES if a.slug == request.path_params["slug"]), None)
        if article is None:
            raise HTTPException(404)
        return self.page(request, "article.html", article=article, others=[a for a in ARTICLES if a != article][:2])

    async def events(self, request: Request) -> Response:
        return self.page(request, "events.html", events=EVENTS)

    async def event(self, request: Request) -> Response:
        event = next((e for e in EVENTS if e.slug == request.path_params["slug"]), None)
        if event is None:
            raise HTTPException(404)
        return self.page(request, "event.html", event=event)

    async def enquiry(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "enquiry.html", problem="")
        form = await request.form()
        values = {key: str(form.get(key, "")).strip()[:4000] for key in ("name", "email", "subject", "message")}
        if not values["name"] or "@" not in values["email"] or not values["message"]:
            return self.page(
                request, "enquiry.html", 422, problem="Please give a name, an e-mail address and a message."
            )
        self.records.add_enquiry(**values)
        note_event(request.scope, "enquiry", subject=values["subject"] or "general")
        return RedirectResponse("/thanks?for=enquiry", 303)

    async def newsletter(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "newsletter.html", words=NEWSLETTER_WORDS, problem="")
        form = await request.form()
        email = str(form.get("email", "")).strip()[:200]
        if "@" not in email or form.get("agree") != "yes":
            problem = "We need your address and your tick: without it we may not write to you."
            return self.page(request, "newsletter.html", 422, words=NEWSLETTER_WORDS, problem=problem)
        record = await record_consent(
            request.scope, purpose="newsletter", given=True, text=NEWSLETTER_WORDS, subject=f"email:{email}"
        )
        self.records.subscribe(email, record.record_id)
        note_event(request.scope, "newsletter")
        return RedirectResponse("/thanks?for=newsletter", 303)

    async def join(self, request: Request) -> Response:
        words = {"publish": PUBLISH_WORDS, "share": SHARE_WORDS}
        if request.method == "GET":
            return self.page(request, "join.html", words=words, problem="")
        form = await request.form()
        values = {key: str(form.get(key, "")).strip()[:200] for key in ("name", "email", "practice", "town")}
        if not values["name"] or "@" not in values["email"]:
            return self.page(
                request, "join.html", 422, words=words, problem="Please give a name and an e-mail address."
            )
        publish, share = form.get("publish") == "yes", form.get("share") == "yes"
        number = self.records.add_member(**values, publish=publish, marketing=False)
        # Asked on joining and again on renewal, answered yes or no: both answers are kept.
        for purpose, given, text in (
            ("publish-profile", publish, PUBLISH_WORDS),
            ("share-with-organisers", share, SHARE_WORDS),
        ):
            await record_consent(request.scope, purpose=purpose, given=given, text=text, subject=f"member:{number}")
        note_event(request.scope, "join", publish="yes" if publish else "no")
        return RedirectResponse("/thanks?for=join", 303)

    async def thanks(self, request: Request) -> Response:
        return self.page(request, "thanks.html", what=request.query_params.get("for", ""))

    async def not_found(self, request: Request, error: Exception) -> Response:
        return self.page(request, "not_found.html", 404)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.home),
                Route("/about", self.about),
                Route("/members", self.members),
                Route("/members/{slug}", self.member),
                Route("/articles", self.articles),
                Route("/articles/{slug}", self.article),
                Route("/events", self.events),
                Route("/events/{slug}", self.event),
                Route("/enquiry", self.enquiry, methods=["GET", "POST"]),
                Route("/newsletter", self.newsletter, methods=["GET", "POST"]),
                Route("/join", self.join, methods=["GET", "POST"]),
                Route("/thanks", self.thanks),
                Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            ],
            exception_handlers={404: self.not_found},
        )


def note_event(scope: MutableMapping[str, Any], name: str, **properties: str) -> None:
    """Count an interaction of this visit. Without the middleware there is no visit, and nothing is counted."""
    visit = scope.get("visit")
    if visit is not None:
        visit.event(name, **properties)
