"""The policy page and the cookie table: HTML, JSON and Markdown of one document, and the history of revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from consent_middleware.pages.disclosures import with_disclosures
from consent_middleware.pages.document import Document, markdown
from consent_middleware.pages.memory import remembered
from consent_middleware.pages.policy_document import cookie_table, policy_document, vendor_table
from consent_middleware.pages.purposes import cookie_lines, vendor_lines
from consent_middleware.pages.rendering import page, page_headers, page_language, render
from consent_middleware.pages.revisions import keep, revisions_of
from consent_middleware.pages.words import words_for

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services


def document_for(policy: PrivacyPolicy, language: str) -> Document:
    return remembered(policy, ("policy", language), lambda: policy_document(policy, language))


def policy_fragment(policy: PrivacyPolicy, language: str) -> str:
    """The policy as one `<article>` of HTML, for a site that shows it in its own template."""
    return article(policy, document_for(policy, language))


def article(policy: PrivacyPolicy, document: Document) -> str:
    return render("policy_article.html", policy, words_for(policy, document.language), document=document)


async def document_now(services: Services, request: Request) -> Document:
    """The policy in the language of the request, with what was shared last."""
    language = page_language(services.policy, request)
    return await with_disclosures(services, document_for(services.policy, language))


async def policy_html(services: Services, request: Request) -> Response:
    document = await document_now(services, request)
    if request.query_params.get("fragment"):
        return Response(
            article(services.policy, document),
            media_type="text/html",
            headers=page_headers(document.language, private=False),
        )
    await keep(services)
    return page(services, request, "policy.html", private=False, document=document)


async def policy_json(services: Services, request: Request) -> Response:
    document = await document_now(services, request)
    headers = page_headers(document.language, private=False)
    return Response(msgspec.json.encode(document), media_type="application/json", headers=headers)


async def policy_markdown(services: Services, request: Request) -> Response:
    document = await document_now(services, request)
    headers = page_headers(document.language, private=False)
    return Response(markdown(document), media_type="text/markdown", headers=headers)


async def cookies_html(services: Services, request: Request) -> Response:
    policy = services.policy
    t = words_for(policy, page_language(policy, request))
    tables = [table for table in (cookie_table(policy, t), vendor_table(policy, t)) if table]
    return page(services, request, "cookies.html", private=False, tables=tables)


async def cookies_json(services: Services, request: Request) -> Response:
    policy = services.policy
    language = page_language(policy, request)
    t = words_for(policy, language)
    body = {
        "revision": policy.revision,
        "updated": policy.updated,
        "language": language,
        "cookies": cookie_lines(policy, t),
        "vendors": vendor_lines(policy, t),
    }
    headers = page_headers(language, private=False)
    return Response(msgspec.json.encode(body), media_type="application/json", headers=headers)


async def cookies_markdown(services: Services, request: Request) -> Response:
    policy = services.policy
    language = page_language(policy, request)
    full = document_for(policy, language)
    part = next(part for part in full.parts if part.anchor == "cookies")
    text = markdown(msgspec.structs.replace(full, title=part.title, parts=(part,)))
    return Response(text, media_type="text/markdown", headers=page_headers(language, private=False))


async def changes(services: Services, request: Request) -> Response:
    """Every revision that is kept, newest first, each with its difference to the one before."""
    language = page_language(services.policy, request)
    return page(
        services,
        request,
        "changes.html",
        private=False,
        revisions=await revisions_of(services, language),
    )


async def notice(services: Services, request: Request) -> Response:
    """A text that was once shown to visitors, by the SHA-256 of its bytes; exactly as it was."""
    digest = request.path_params["digest"]
    text = await services.ledger.text_of_notice(digest) if len(digest) == 64 else None
    if text is None:
        return Response("no such notice\n", 404, media_type="text/plain")
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(text, media_type="text/plain", headers=headers)
