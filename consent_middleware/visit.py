"""Visit and event: the captured record, and what may be captured under which basis. Pure.

`Captured` is one row on its way to the store. It is a JSON array in the order of its fields, so that the engine
reads segments of the spool by itself; `SPOOL_COLUMNS` gives the engine's types in the same order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

if TYPE_CHECKING:
    from consent_middleware.decision import Decision
    from consent_middleware.policy import PrivacyPolicy

HOUR_MS: Final = 3_600_000
MAX_USER_AGENT: Final = 512  # one of 8 kB costs 39 ms in regular expressions
MAX_PATH: Final = 1024
MAX_VALUE: Final = 256
MAX_PROPS: Final = 30
WITH_VISITOR: Final = frozenset({"consent", "opt-out"})  # the bases under which the visitor cookie's key is kept


class Captured(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One page view, event or identifier-free count. No field ever holds an address or a cookie's value."""

    site: str
    time: int  # ms since 1970, UTC; a count has its hour only
    kind: str  # view | event | count
    name: str
    host: str = ""
    path: str = ""
    query: str = ""  # allowed parameters only
    referrer: str = ""  # host, or app id
    method: str = ""
    status: int = 0
    bytes: int = 0
    duration_ms: int = 0
    protocol: str = ""
    language: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    user_agent: str = ""  # ends in the loader
    hints: str = ""  # client hints as "brand|version|platform|platform version|mobile|model"; ends in the loader
    screen: str = ""
    automated: int = 0
    visitor: int = 0
    engagement_ms: int = 0
    scroll: int = 0
    props: dict[str, str] = {}
    revenue: str | None = None
    currency: str = ""
    basis: str = "consent"
    revision: int = 0


SPOOL_COLUMNS: Final = (
    ("site", "String"),
    ("time", "Int64"),
    ("kind", "Enum8('view' = 1, 'event' = 2, 'count' = 3)"),
    ("name", "String"),
    ("host", "String"),
    ("path", "String"),
    ("query", "String"),
    ("referrer", "LowCardinality(String)"),
    ("method", "LowCardinality(String)"),
    ("status", "UInt16"),
    ("bytes", "UInt64"),
    ("duration_ms", "UInt32"),
    ("protocol", "LowCardinality(String)"),
    ("language", "LowCardinality(String)"),
    ("country", "LowCardinality(String)"),
    ("region", "LowCardinality(String)"),
    ("city", "LowCardinality(String)"),
    ("user_agent", "LowCardinality(String)"),
    ("hints", "LowCardinality(String)"),
    ("screen", "LowCardinality(String)"),
    ("automated", "UInt8"),
    ("visitor", "UInt64"),
    ("engagement_ms", "UInt32"),
    ("scroll", "UInt8"),
    ("props", "Map(LowCardinality(String), String)"),
    ("revenue", "Nullable(Decimal(18, 3))"),
    ("currency", "LowCardinality(String)"),
    ("basis", "LowCardinality(String)"),
    ("revision", "UInt32"),
)


@lru_cache(65_536)
def visitor_key(visitor_id: str) -> int:
    """64 bits of BLAKE2b over the visitor cookie's value; 0 stands for none. The id itself never reaches the spool."""
    return int.from_bytes(hashlib.blake2b(visitor_id.encode(), digest_size=8).digest(), "big") or 1


def basis_of(policy: PrivacyPolicy, decision: Decision) -> str | None:
    """Why a row of this visitor may exist, or None when nothing may be kept.

    consent, opt-out: with the visitor cookie; uk-statistics, fr-audience, daily-key: with a key that changes each day;
    counts: page, status, hour, bot or not. A refusal, an objection or a signal always leads to counts at most.
    """
    capture = policy.capture
    if decision.allows(capture.purpose):
        return "consent" if decision.decided or decision.regime != "opt-out" else "opt-out"
    if capture.without_consent == "nothing":
        return None
    if capture.without_consent == "daily-key" and not decision.decided and not decision.signals:
        if decision.regime in ("uk-statistics", "fr-audience"):
            return str(decision.regime)
        if decision.regime == "opt-out":
            return "daily-key"
    return "counts"


# What identifies a person or a click, whatever the parameter is called. Tokens are long runs without a word in them.
_CLICK_IDS = frozenset(
    (
        *(
            "gclid",
            "dclid",
            "gclsrc",
            "gbraid",
            "wbraid",
            "fbclid",
            "msclkid",
            "twclid",
            "ttclid",
            "li_fat_id",
            "igshid",
        ),
        *("yclid", "mc_eid", "_ga", "_gl", "s_kwcid", "srsltid", "vero_id", "wickedid", "oly_enc_id", "oly_anon_id"),
        "rb_clickid",
    )
)
_EMAIL = re.compile(r"[^\s@](?:@|%40)[^\s@/]+\.[a-z]{2,}", re.IGNORECASE)
_CARD = re.compile(r"(?:\d[ +.-]?){12,18}\d")
# An unbroken run of letters and digits mixed, a UUID, or a JWT. Words joined by hyphens are a title, not a token.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(?=[A-Za-z_]*\d)(?=\d*[A-Za-z_])[A-Za-z0-9_]{16,}"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-|eyJ[\w-]{8,}"
)


def is_identifying(value: str) -> bool:
    """True for an e-mail address, a payment card's number, or something that looks like a token."""
    if _EMAIL.search(value) or _TOKEN.search(value):
        return True
    return any(_luhn(re.sub(r"\D", "", found)) for found in _CARD.findall(value))


def _luhn(digits: str) -> bool:
    """The check digit of payment cards; a number that fails it is no card."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def scrub_query(query: str, allowed: Iterable[str]) -> str:
    """The allowed parameters of a query string, in their order, without values that identify somebody."""
    if not query:
        return ""
    kept = []
    for name, value in parse_qsl(query[:4096], max_num_fields=None):
        if name in allowed and name.lower() not in _CLICK_IDS and value and not is_identifying(value):
            kept.append(f"{quote_plus(name)}={quote_plus(value[:MAX_VALUE])}")
    return "&".join(kept)


def scrub_path(path: str) -> str:
    """A path whose identifying segments (addresses, tokens, card numbers) are replaced by `*`."""
    path = path[:MAX_PATH]
    if not is_identifying(path):
        return path
    return "/".join("*" if is_identifying(part) else part for part in path.split("/"))


def referrer_host(referrer: str, own_hosts: Iterable[str] = ()) -> str:
    """The host of a referrer (or the id of an Android app); empty for the site's own pages and for what is no URL."""
    scheme, separator, rest = referrer[:2048].partition("://")
    if not separator or scheme not in ("http", "https", "android-app"):
        return ""
    host = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].lower()
    if scheme == "android-app":
        return f"android-app:{host[:128]}"
    host = host.partition(":")[0].removeprefix("www.").rstrip(".")
    if not host or len(host) > 253 or host in own_hosts:
        return ""
    return host


_AUTOMATED = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|fetch|monitor|scan|preview|archiv|headless|http-?client|python|curl|wget|java/|go-http"
    r"|okhttp|axios|libwww|scrapy|facebookexternalhit|phantom|puppeteer|playwright|lighthouse|feed|pingdom|uptime|gpt"
    r"|claude|perplexity",
    re.IGNORECASE,
)


def looks_automated(user_agent: str) -> int:
    """A quick guess in the worker, for counts that carry no user agent; the loader knows 1,500 patterns."""
    return int(len(user_agent) < 12 or bool(_AUTOMATED.search(user_agent)))
