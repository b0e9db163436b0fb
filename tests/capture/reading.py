"""A policy by a few words, a capture of its own, and what it left in the spool."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from consent_middleware.capture import Capture
from consent_middleware.country import ClientResolver
from consent_middleware.decision import Choice, Decision, resolve
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.reading import Reading
from consent_middleware.request_headers import find_headers
from consent_middleware.rows import fixed_ending
from consent_middleware.salts import DailySalts
from consent_middleware.spool import Spool
from consent_middleware.verdict import Verdict
from consent_middleware.visit import Captured, basis_of
from consent_middleware.visit_handle import VisitHandle

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
ADDRESS = "81.2.69.142"
VISITOR = "v1s1torv1s1torv1s1torv"
POLICY = """
revision = 3
updated = 2026-11-20
[controller]
name = "Example Society"
[site]
hosts = ["example.org"]
trusted_proxies = ["10.0.0.0/8"]
country_header = "cf-ipcountry"
[consent]
regimes = { FR = "fr-audience", US = "opt-out", GB = "uk-statistics" }
[[purpose]]
id = "necessary"
required = true
[[purpose]]
id = "analytics"
[capture]
without_consent = "{without}"
plausible = true
exclude = ["/private/*"]
"""


def policy(without: str = "counts") -> PrivacyPolicy:
    return PrivacyPolicy.parse(POLICY.replace("{without}", without))


def decided(of: PrivacyPolicy, *granted: str, regime: str = "opt-in") -> Decision:
    return resolve(of, Choice(frozenset(granted), "r" * 22, 1_800_000_000, of.fingerprint), regime=regime)


def undecided(of: PrivacyPolicy, regime: str = "opt-in", signals: tuple[str, ...] = ()) -> Decision:
    return resolve(of, None, regime=regime, signals=signals)


def request(path: str = "/", query: str = "", client: str = ADDRESS, **headers: str) -> dict[str, Any]:
    given = {"user-agent": CHROME, "host": "example.org", "accept-language": "en-GB,en;q=0.9", **headers}
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "http_version": "1.1",
        "client": (client, 1234),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
    }


def spooled(data_dir: Path) -> bytes:
    """Every line in the spool, synced or not; without the zeros that follow the last one of an open segment."""
    return b"".join(path.read_bytes().rstrip(b"\0") for path in sorted((data_dir / "spool").rglob("*.rows")))


class Kept:
    """A capture and everything that it wrote."""

    def __init__(self, data_dir: Path, without: str = "counts") -> None:
        self.policy = policy(without)
        self.data_dir = data_dir
        self.spool = Spool(data_dir / "spool")
        self.salts = DailySalts(data_dir / "salts")
        self.capture = Capture(self.policy, self.spool, ClientResolver(self.policy), self.salts)

    def view(self, decision: Decision, scope: dict[str, Any] | None = None, visitor: str | None = VISITOR) -> None:
        scope = scope or request()
        headers = scope["headers"]
        basis = basis_of(self.policy, decision)
        verdict = Verdict(
            decision=decision,
            allowed=decision.granted | decision.required,
            cookie=None,
            strips=False,
            lapsed=(),
            visitor_id=visitor,
            basis=basis,
            ending=fixed_ending(basis, visitor, decision.revision),
            ends=float("inf"),
            generation=1,
            record_id=None,
        )
        self.capture.page_view(scope, Reading(verdict, headers, find_headers(headers), True, time.time()), 200, 900)

    def handle(self, decision: Decision, scope: dict[str, Any], visitor: str | None) -> VisitHandle:
        return VisitHandle(self.capture, scope, find_headers(scope["headers"]), decision, visitor)

    def rows(self) -> list[Captured]:
        return [msgspec.json.decode(line, type=Captured) for line in spooled(self.data_dir).splitlines()]

    def text(self) -> str:
        return " ".join(
            path.read_bytes().decode("latin-1")
            for path in sorted(self.data_dir.rglob("*"))
            if path.is_file() and path.suffix != ".salt"
        )
