"""What a script may send about a visit: Plausible's event format, parsed once and with limits. Pure.

Our own route takes the same keys and one more, `w` (the width of the window), as one object or a list of at most 20.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

MAX_NAME: Final = 120
MAX_URL: Final = 2000
MAX_EVENTS: Final = 20
# Names by their short and long keys, as the versions of the tracker have sent them.
_KEYS: Final = {
    "name": ("n", "name"),
    "url": ("u", "url"),
    "domain": ("d", "domain"),
    "referrer": ("r", "referrer"),
    "props": ("p", "props", "m", "meta"),
    "revenue": ("$", "revenue"),
    "interactive": ("i", "interactive"),
    "engagement": ("e", "engagement_time"),
    "scroll": ("sd", "scroll_depth"),
    "width": ("w", "width"),
}


class BadEvent(ValueError):
    """What is wrong with an event, by field."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(", ".join(f"{field} {problem[0]}" for field, problem in errors.items()))
        self.errors = dict(errors)


class ScriptEvent(msgspec.Struct, frozen=True):
    """One event as a script sent it, within limits."""

    name: str
    host: str
    path: str
    query: str = ""
    domains: tuple[str, ...] = ()
    referrer: str = ""
    props: dict[str, Any] = {}
    amount: str | None = None
    currency: str = ""
    interactive: bool = True
    engagement_ms: int = 0
    scroll: int = 0
    screen: str = ""


def decode(body: bytes) -> Any:
    """JSON, whatever the content type says. Raises BadEvent."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEvent({"request": ["is not valid JSON"]}) from None


def on_page(raw: Any, page: str) -> Any:
    """The event with `page` as its URL when it names none."""
    return raw if not isinstance(raw, dict) or any(raw.get(key) for key in _KEYS["url"]) else {**raw, "url": page}


def parse(raw: Any) -> ScriptEvent:
    """Check one event. Raises BadEvent with every field that is wrong."""
    if not isinstance(raw, dict):
        raise BadEvent({"request": ["is not an object"]})
    given = {name: next((raw[key] for key in keys if key in raw), None) for name, keys in _KEYS.items()}
    errors: dict[str, list[str]] = {}

    name = given["name"]
    if not isinstance(name, str) or not name.strip():
        errors["event_name"] = ["can't be blank"]
    elif len(name) > MAX_NAME:
        errors["event_name"] = [f"should be at most {MAX_NAME} character(s)"]

    url = given["url"]
    host = path = query = ""
    if not isinstance(url, str) or not url:
        errors["url"] = ["is required"]
    elif len(url.encode("utf-8", "replace")) > MAX_URL:
        errors["url"] = [f"must be at most {MAX_URL} bytes"]
    else:
        try:
            parts = urlsplit(url)
            host, path, query = (parts.hostname or "").removeprefix("www."), parts.path or "/", parts.query
        except ValueError:
            parts = None
        if parts is None or not (host or url.startswith("/")) or parts.scheme in ("data", "javascript", "file"):
            errors["url"] = ["is not a valid URL"]

    domain = given["domain"]
    if domain is not None and not isinstance(domain, str):
        errors["domain"] = ["is invalid"]
        domain = None
    domains = tuple(d.strip().lower() for d in (domain or host).split(",")[:50] if d.strip())
    if not domains and "url" not in errors and "domain" not in errors and host:
        errors["domain"] = ["can't be blank"]

    props = _props(given["props"], errors)
    amount, currency = _revenue(given["revenue"], errors)
    engagement = _whole(given["engagement"], 0, 86_400_000)
    scroll = _whole(given["scroll"], 0, 100)
    if name == "engagement" and engagement is None and scroll is None:
        errors["engagement_time"] = ["engagement_time or scroll_depth is required"]
    if errors or not isinstance(name, str):
        raise BadEvent(errors)
    width = given["width"]
    referrer = given["referrer"]
    return ScriptEvent(
        name=name.strip(),
        host=host,
        path=path,
        query=query,
        domains=domains,
        referrer=referrer if isinstance(referrer, str) else "",
        props=props,
        amount=amount,
        currency=currency,
        interactive=given["interactive"] is not False,
        engagement_ms=engagement or 0,
        scroll=scroll or 0,
        screen=screen_class(width) if isinstance(width, int) and not isinstance(width, bool) else "",
    )


def screen_class(width: int) -> str:
    """Four classes instead of a number that helps to recognise a browser."""
    if width <= 0:
        return ""
    for limit, name in ((576, "small"), (992, "medium"), (1440, "large")):
        if width < limit:
            return name
    return "wide"


def _props(value: Any, errors: dict[str, list[str]]) -> dict[str, Any]:
    if isinstance(value, str) and value:
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            errors["props"] = ["is not valid JSON"]
            return {}
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        errors["props"] = ["must be a map"]
        return {}
    return {str(key): item for key, item in list(value.items())[:30] if not isinstance(item, dict | list)}


def _revenue(value: Any, errors: dict[str, list[str]]) -> tuple[str | None, str]:
    if isinstance(value, str) and value:
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            value = 0
    if value is None or value == "":
        return None, ""
    currency = value.get("currency") if isinstance(value, dict) else None
    try:
        amount = decimal.Decimal(str(value["amount"])) if isinstance(value, dict) else None
    except (KeyError, decimal.InvalidOperation):
        amount = None
    if (
        amount is None
        or not amount.is_finite()
        or abs(amount) >= 10**14
        or not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isalpha())
    ):
        errors["revenue"] = ["needs an amount and a currency of three letters"]
        return None, ""
    return str(amount.quantize(decimal.Decimal("0.001"))), currency.upper()


def _whole(value: Any, low: int, high: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, low), high))
