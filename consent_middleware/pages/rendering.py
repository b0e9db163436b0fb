"""The template environment, and the answers that hold our pages: strict headers, private, in one language."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from consent_middleware.pages.assets import hashed_name
from consent_middleware.pages.languages import NAMES, pick_language
from consent_middleware.pages.memory import remembered
from consent_middleware.pages.words import Words, words_for

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.policy_sections import Text
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

    foreign = remembered(policy, ("foreign", t.language), lambda: foreign_texts(policy, t.language))

    def spoken(text: str) -> Markup:
        return Markup(' lang="{}"').format(foreign[text]) if text in foreign else Markup("")

    return (
        environment()
        .get_template(template)
        .render(t=t, policy=policy, prefix=policy.site.prefix, say=say, spoken=spoken, language_names=NAMES, **values)
    )


def foreign_texts(policy: PrivacyPolicy, language: str) -> dict[str, str]:
    """Texts of the policy file that are not in the page's language, with the language they are in (WCAG 3.1.2)."""
    first = policy.site.languages[0]
    texts: list[Text] = []
    for purpose in policy.purposes:
        texts += [purpose.title, purpose.description, purpose.without_it]
    texts += [cookie.description for cookie in policy.cookies]
    for data in policy.data:
        texts += [data.name, data.purpose, data.description, data.retention, data.source, data.without_it]
        texts.append(words_for(policy, language).listed(data.categories))
    texts += [line.summary for line in policy.history]
    found = {}
    for text in texts:
        code = first if isinstance(text, str) else spoken_code(text, language, first)
        if code.partition("-")[0] != language.partition("-")[0]:
            found[policy.text(text, language, first)] = code
    found.pop("", None)
    return found


def spoken_code(text: dict[str, str], language: str, default: str) -> str:
    """The language that `policy.text` takes from a text in several."""
    return next(
        (code for code in (language, language.partition("-")[0], default) if code in text), next(iter(text), default)
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
