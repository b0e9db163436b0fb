"""Google Consent Mode v2, basic: every signal is denied before any tag; a granted purpose updates its signals. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.vendors import is_google_tag, normal_host

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from consent_middleware.services import Services

FILE = "google-defaults.js"
SIGNALS = (
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
)
# The addresses in the snippets that Google gives out, which fetch its tags from inline code.
GOOGLE_LOADER = re.compile(
    rb"//((?:www\.|ssl\.)?(?:googletagmanager\.com(?=/g)|google-analytics\.com(?=/(?:analytics|ga|urchin)\.js)))",
    re.IGNORECASE,
)
_NONCE = re.compile(r"[A-Za-z0-9+/_=-]{1,256}")


def consent_mode(
    policy: PrivacyPolicy, allows: Callable[[str], bool], nonce: str | None = None, *, external: bool = False
) -> bytes:
    """The script that stands before any other; empty when the policy names no Google signal and no Google tag.

    `external` asks for it as a file of its own, for a site whose Content-Security-Policy may refuse inline code.
    """
    if not uses_google(policy):
        return b""
    granted = granted_signals(policy, allows)
    attribute = f' nonce="{nonce}"' if nonce and _NONCE.fullmatch(nonce) else ""
    if external:
        return f'<script src="{policy.site.prefix}/{FILE}?granted={".".join(granted)}"{attribute}></script>'.encode()
    return f"<script{attribute}>{defaults(granted)}</script>".encode("ascii")


def defaults(granted: Iterable[str]) -> str:
    """The calls: everything denied, then what was granted."""
    denied = ",".join(f"{signal}:'denied'" for signal in SIGNALS)
    agreed = ",".join(f"{signal}:'granted'" for signal in granted)
    script = (
        "window.dataLayer=window.dataLayer||[];window.gtag=window.gtag||function(){dataLayer.push(arguments)};"
        f"gtag('consent','default',{{{denied}}});gtag('set','ads_data_redaction',true);"
    )
    return script + (f"gtag('consent','update',{{{agreed}}});" if agreed else "")


def routes(services: Services) -> list[BaseRoute]:
    """`GET <prefix>/google-defaults.js?granted=...`: the same script as a file; a function of its address alone."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def google_defaults(request: Request) -> Response:
        asked = set(request.query_params.get("granted", "")[:200].split("."))
        script = defaults(signal for signal in SIGNALS if signal in asked)
        headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(script, media_type="text/javascript", headers=headers)

    return [Route(f"{services.policy.site.prefix}/{FILE}", google_defaults, methods=["GET"])]


def uses_google(policy: PrivacyPolicy) -> bool:
    return any(purpose.google_signals for purpose in policy.purposes) or any(
        is_google_tag(normal_host(host)) for vendor in policy.vendors for host in vendor.hosts
    )


def granted_signals(policy: PrivacyPolicy, allows: Callable[[str], bool]) -> tuple[str, ...]:
    """The signals whose every purpose is granted: a signal shared by two purposes needs both."""
    wanted: dict[str, bool] = {}
    for purpose in policy.purposes:
        for signal in purpose.google_signals:
            wanted[signal] = wanted.get(signal, True) and allows(purpose.id)
    return tuple(signal for signal in SIGNALS if wanted.get(signal))
