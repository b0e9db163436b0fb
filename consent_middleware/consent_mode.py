"""Google Consent Mode v2, basic: every signal is denied before any tag; a granted purpose updates its signals. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.vendors import is_google_tag, normal_host

SIGNALS = (
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
)
_NONCE = re.compile(r"[A-Za-z0-9+/_=-]{1,256}")


def consent_mode(policy: PrivacyPolicy, allows: Callable[[str], bool], nonce: str | None = None) -> bytes:
    """The script that stands before any other; empty when the policy names no Google signal and no Google tag."""
    if not uses_google(policy):
        return b""
    granted = granted_signals(policy, allows)
    denied = ",".join(f"{signal}:'denied'" for signal in SIGNALS)
    script = (
        "window.dataLayer=window.dataLayer||[];window.gtag=window.gtag||function(){dataLayer.push(arguments)};"
        f"gtag('consent','default',{{{denied}}});gtag('set','ads_data_redaction',true);"
    )
    if granted:
        agreed = ",".join(f"{signal}:'granted'" for signal in granted)
        script += f"gtag('consent','update',{{{agreed}}});"
    attribute = f' nonce="{nonce}"' if nonce and _NONCE.fullmatch(nonce) else ""
    return f"<script{attribute}>{script}</script>".encode("ascii")


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
