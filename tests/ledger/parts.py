"""Parts that several tests of the ledger share: a policy, entries, a scope; no test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from consent_middleware.decision import Decision, resolve
from consent_middleware.ledger import ConsentRecord, Ledger, Refusal
from consent_middleware.ledger.record import SCHEMA, new_record_id
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.services import Services, open_services

SECRETS = ("a secret of tests only, long enough",)

POLICY = PrivacyPolicy.parse(
    """
revision = 4
updated = 2026-11-20

[controller]
name = "Harcourt & Vane Solicitors"

[site]
hosts = ["law.example"]

[[purpose]]
id = "analytics"

[[purpose]]
id = "marketing"

[[cookie]]
name = "campaign"
purpose = "marketing"
provider = "us"
description = "which campaign"
lifetime = "30 days"
"""
)


def a_record(**changes: Any) -> ConsentRecord:
    """A consent as a banner gives it; `changes` replace fields."""
    now = round(time.time(), 3)
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "record_id": new_record_id(),
        "event": "given",
        "at": now,
        "controller": POLICY.controller.name,
        "notice": "",
        "language": "en",
        "revision": 4,
        "fingerprint": POLICY.fingerprint,
        "purposes": {"analytics": True, "marketing": False},
        "method": "banner",
        "regime": "opt-in",
        "until": int(now) + 182 * 86_400,
    }
    return ConsentRecord(**{**fields, **changes})


def a_refusal(notice: str, day: str = "2026-11-20") -> Refusal:
    return Refusal(
        schema=SCHEMA,
        day=day,
        controller=POLICY.controller.name,
        notice=notice,
        language="en",
        revision=4,
        fingerprint=POLICY.fingerprint,
        purposes=("analytics", "marketing"),
        method="banner",
        regime="opt-in",
    )


async def fill(ledger: Ledger, records: int, *, refusals: int = 0) -> list[str]:
    """That many consents under one notice, and refusals; the record ids."""
    notice = await ledger.notice(b"We count visits if you agree.", "en", 4)
    entries: Sequence[ConsentRecord] = [a_record(notice=notice) for _ in range(records)]
    await asyncio.gather(*(ledger.append(entry) for entry in entries))
    await asyncio.gather(*(ledger.append(a_refusal(notice)) for _ in range(refusals)))
    return [entry.record_id for entry in entries]


@contextlib.asynccontextmanager
async def services_in(
    data_dir: Path, url: str | None = None, policy: PrivacyPolicy = POLICY
) -> AsyncIterator[Services]:
    services = await open_services(policy, data_dir, SECRETS, url)
    try:
        yield services
    finally:
        await services.close()


def a_scope(services: Services, cookies: dict[str, str] | None = None, *, regime: str = "opt-in") -> dict[str, Any]:
    """What decide() sees of a request that carries `cookies`."""
    jar = cookies or {}
    choice = None
    if value := jar.get("__Host-consent"):
        choice = services.tokens.decode(value)
        if choice.record_id and services.revocations.revoked(choice.record_id):
            choice = None
    decision: Decision = resolve(services.policy, choice, regime=regime)
    header = "; ".join(f"{name}={content}" for name, content in jar.items()).encode()
    return {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/_consent/",
        "headers": [
            (b"host", b"law.example"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) Testing/7"),
            *([(b"cookie", header)] if header else []),
        ],
        "client": ("203.0.113.77", 4711),
        "consent": decision,
        "consent.services": services,
    }


def take(jar: dict[str, str], set_cookies: Sequence[bytes]) -> dict[str, str]:
    """A browser's cookies after some Set-Cookie headers."""
    jar = dict(jar)
    for header in set_cookies:
        first, *attributes = header.decode().split("; ")
        name, _, content = first.partition("=")
        if "Max-Age=0" in attributes:
            jar.pop(name, None)
        else:
            jar[name] = content
    return jar
