"""The template environment, and the answers that hold our pages: strict headers, private, in one language."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from consent_middleware.pages.assets import hashed_name
from consent_middleware.pages.languages import NAMES, pick_language
from consent_middleware.pages.words import Words, words_for

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

# Our own pages prove that the script needs no exception: nothing inline, no foreign host, no Trusted Types policy.
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@functools.cache
def environment() -> Environment:
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    env = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.globals["asset"] = hashed_name
    return env


def render(template: str, policy: PrivacyPolicy, t: Words, **values: Any) -> str:
    """Fill a template; `t`, the policy, the prefix and the text picker are always there."""
    site_language = policy.site.languages[0]

    def say(value: str | dict[str, str]) -> str:
        return policy.text(value, t.language, site_language)

    return (
        environment()
        .get_template(template)
        .render(t=t, policy=policy, prefix=policy.site.prefix, say=say, language_names=NAMES, **values)
    )


def page_language(policy: PrivacyPolicy, request: Request) -> str:
    """The language of one of our own pages: asked for by `?lang=`, else as everywhere."""
    accepted = request.headers.get("accept-language", "").encode("latin-1", "ignore")
    return pick_language(policy, accepted, request.query_params.get("lang", "")[:35])


def page(
    services: Services, request: Request, template: str, *, status: int = 200, private: bool = True, **values: Any
) -> HTMLResponse:
    """One of our own pages as an answer."""
    policy = services.policy
    language = page_language(policy, request)
    t = words_for(policy, language)
    here = request.url.path
    body = render(template, policy, t, here=here, **values)
    return HTMLResponse(body, status, headers=page_headers(language, private=private))


def page_headers(language: str, *, private: bool) -> dict[str, str]:
    return {
        "content-language": language,
        "content-security-policy": PAGE_CSP,
        "cache-control": "no-store" if private else "no-cache",
        "vary": "Cookie, Accept-Language" if private else "Accept-Language",
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
