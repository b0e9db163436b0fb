"""What is put into the site's own pages: banner, permanent control, and the placeholder of a held-back frame."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from consent_middleware.pages.assets import hashed_name
from consent_middleware.pages.memory import remembered
from consent_middleware.pages.purposes import purpose_title
from consent_middleware.pages.rendering import render
from consent_middleware.pages.revisions import is_news
from consent_middleware.pages.words import words_for
from consent_middleware.policy_sections import Vendor

if TYPE_CHECKING:
    from consent_middleware.decision import Decision
    from consent_middleware.policy import PrivacyPolicy
    from consent_middleware.services import Services

# Stand in the cached fragment for what differs from request to request; no policy text can hold a control character.
RETURN, NONCE = "\x02", "\x03"
STATISTICS_REGIMES = frozenset({"uk-statistics", "fr-audience"})


def head(services: Services, *, nonce: str | None = None) -> bytes:
    """The tag that belongs before `</head>`: the script that only spares reloads. Nothing here holds back a paint."""
    prefix = services.policy.site.prefix
    mark = f' nonce="{escape(nonce)}"' if nonce else ""
    return f'<script defer fetchpriority="low" src="{prefix}/{hashed_name("banner.js")}"{mark}></script>'.encode()


def banner(
    services: Services,
    decision: Decision | None,
    *,
    language: str,
    return_to: str,
    nonce: str | None = None,
) -> bytes:
    """The fragment that belongs before `</body>`: the banner while nothing is decided, and the way back to the choices.

    `decision` None (or a cache-friendly site) gives the fragment that is the same for everyone; the script then asks
    for the state. `return_to` is the path of the page, for a visitor without JavaScript.
    """
    policy = services.policy
    if policy.site.cache == "friendly":
        decision = None
    shape = None if decision is None else (decision.decided, decision.granted, decision.regime, decision.signals)
    key = ("banner", language, shape, is_news(policy))
    drawn = remembered(policy, key, lambda: fragment(policy, decision, language))
    mark = f' nonce="{escape(nonce)}"' if nonce else ""
    # In the body a style sheet holds back what follows it, the banner, and not the page's own first paint.
    style = f'<link rel="stylesheet" fetchpriority="low" href="{policy.site.prefix}/{hashed_name("banner.css")}"{mark}>'
    return (style + drawn.replace(RETURN, escape(return_to)).replace(NONCE, mark)).encode()


def fragment(policy: PrivacyPolicy, decision: Decision | None, language: str) -> str:
    """The fragment with RETURN and NONCE still in their places."""
    t = words_for(policy, language)
    optional = [purpose for purpose in policy.purposes if not purpose.required]
    allowed = [p.id for p in policy.purposes if p.required or (decision is not None and decision.allows(p.id))]
    return render(
        "banner.html",
        policy,
        t,
        decision=decision,
        asks=bool(optional) and asks(decision),
        statistics_regime=decision is not None and decision.regime in STATISTICS_REGIMES,
        optional=optional,
        titles=[purpose_title(policy, purpose, t) for purpose in optional],
        vendors=[vendor.name for vendor in policy.vendors if vendor.purpose in policy.optional_purposes],
        allowed=allowed,
        granted=[purpose for purpose in allowed if purpose in policy.optional_purposes],
        guarded=sorted({vendor.purpose for vendor in policy.vendors} & policy.optional_purposes),
        google=json.dumps({p.id: p.google_signals for p in optional if p.google_signals}, separators=(",", ":")),
        clear=storage_keys(policy, frozenset(policy.optional_purposes) - frozenset(allowed)),
        statistics=policy.capture.purpose,
        interactions=policy.capture.interactions and policy.capture.purpose in policy.optional_purposes,
        fingerprint=policy.fingerprint,
        news=is_news(policy),
        RETURN=RETURN,
        NONCE=NONCE,
    )


def asks(decision: Decision | None) -> bool:
    """Whether a banner stands on the page: nothing chosen yet, where the law wants to be asked or told first."""
    return decision is None or (not decision.decided and decision.regime != "opt-out")


def notice(policy: PrivacyPolicy, language: str, regime: str) -> bytes:
    """Exactly what the banner showed before a choice, free of anything personal: kept in the ledger by its hash."""
    from consent_middleware.decision import Decision

    undecided = Decision(
        decided=False,
        granted=frozenset(),
        regime=regime,
        signals=(),
        record_id=None,
        at=None,
        revision=policy.revision,
        required=policy.required_purposes,
    )
    shown = undecided if policy.site.cache == "private" else None
    return fragment(policy, shown, language).replace(RETURN, "").replace(NONCE, "").encode()


def storage_keys(policy: PrivacyPolicy, purposes: frozenset[str]) -> list[str]:
    """`local:_x*` and `session:y`: the declared storage keys of some purposes, for the script to clear."""
    return sorted(
        f"{cookie.kind}:{cookie.name}"
        for cookie in policy.cookies
        if cookie.kind in {"local", "session"} and cookie.purpose in purposes
    )


def placeholder(services: Services, vendor: Vendor, *, language: str, return_to: str) -> bytes:
    """Stands where a third party's frame was held back: who it is, and the two ways to see it."""
    policy = services.policy
    t = words_for(policy, language)
    separator = "&" if "?" in return_to else "?"
    once = f"{return_to.partition('#')[0]}{separator}consent-once={quote(vendor.name)}"
    return render(
        "placeholder.html",
        policy,
        t,
        vendor=vendor,
        title=purpose_title(policy, policy.purpose(vendor.purpose), t),
        once=once,
        return_to=return_to,
        fingerprint=policy.fingerprint,
    ).encode()
