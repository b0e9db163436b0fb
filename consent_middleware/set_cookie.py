"""One Set-Cookie header as a browser reads it: RFC 6265bis 5.6, bytes in, values out; pure."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Final

import msgspec

from consent_middleware.cookie_attributes import Attributes

WSP: Final = b" \t"
MAX_PAIR_BYTES: Final = 4096
MAX_ATTRIBUTE_BYTES: Final = 1024
CACHED_TAIL_BYTES: Final = 512

CONTROL_CHARACTERS: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])

_DATE_DELIMITERS: Final = re.compile(rb"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME: Final = re.compile(rb"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|\Z)")
_DAY: Final = re.compile(rb"(\d{1,2})(?:\D|\Z)")
_YEAR: Final = re.compile(rb"(\d{2,4})(?:\D|\Z)")
_MONTHS: Final = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MAX_AGE: Final = re.compile(rb"-?[0-9]+")


def split(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Name, cookie value, and the attributes as they stand, semicolon in front. Without `=` the name is empty."""
    pair, semicolon, rest = value.partition(b";")
    name, equals, content = pair.partition(b"=")
    if not equals:
        name, content = b"", name
    return name.strip(WSP), content.strip(WSP), semicolon + rest


def attributes(tail: bytes) -> Attributes:
    """Read what follows the pair. A site uses few different tails, unless they hold a date."""
    return _cached(tail) if len(tail) <= CACHED_TAIL_BYTES else _parse(tail)


def _parse(tail: bytes) -> Attributes:
    found: dict[str, int | bytes | bool] = {}
    for part in tail.split(b";")[1:]:
        name, _, value = part.partition(b"=")
        value = value.strip(WSP)
        if len(value) > MAX_ATTRIBUTE_BYTES:
            continue
        match name.strip(WSP).lower():
            case b"max-age":
                # More digits than a year has microseconds are too many to convert: Python refuses at 4,300.
                if _MAX_AGE.fullmatch(value):
                    found["max_age"] = int(value[:20])
            case b"expires":
                moment = cookie_date(value)
                if moment is not None:
                    found["expires"] = moment
            case b"domain":
                found["domain"] = value.removeprefix(b".").lower()
            case b"path":
                found["path"] = value if value.startswith(b"/") else b""
            case b"samesite":
                found["same_site"] = value.lower()
            case b"secure":
                found["secure"] = True
            case b"httponly":
                found["http_only"] = True
            case b"partitioned":
                found["partitioned"] = True
    return msgspec.convert(found, Attributes)


_cached = lru_cache(1024)(_parse)


def cookie_date(text: bytes) -> int | None:
    """Unix seconds of a cookie-date (RFC 6265bis 5.1.1: any order, two-digit years, no zones), or None."""
    clock = day = month = year = None
    for token in _DATE_DELIMITERS.split(text):
        if clock is None and (match := _TIME.match(token)):
            clock = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        moment = dt.datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), tzinfo=dt.UTC)
    except ValueError:
        return None
    return int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds())


def with_lifetime(value: bytes, seconds: int | None) -> bytes:
    """The same header with `Max-Age` for its lifetime (None: a session cookie); every other byte stays."""
    pair, *parts = value.split(b";")
    kept = [pair]
    written = False
    for part in parts:
        if part.partition(b"=")[0].strip(WSP).lower() not in {b"max-age", b"expires"}:
            kept.append(part)
        elif not written and seconds is not None:
            kept.append(b" Max-Age=%d" % seconds)
            written = True
    return b";".join(kept)


def rejected_by_browsers(name: bytes, content: bytes, attributes: Attributes, *, secure: bool) -> str:
    """Why a browser would not store this cookie, or empty. `secure`: the response travels over https."""
    if not name and not content:
        return "empty"
    if len(name) + len(content) > MAX_PAIR_BYTES:
        return "too-long"
    if attributes.secure and not secure:
        return "secure-over-http"
    if attributes.secure and not name.startswith(b"__") and name:
        return ""  # all that follows is about a missing Secure, or a prefix
    if attributes.same_site == b"none" and not attributes.secure:
        return "samesite-none-without-secure"
    if attributes.partitioned and not attributes.secure:
        return "partitioned-without-secure"
    prefixed = (name or content).lower()
    if not name and prefixed.startswith((b"__host-", b"__secure-")):
        return "prefix-without-name"
    if prefixed.startswith((b"__host-", b"__secure-")) and not attributes.secure:
        return "prefix-without-secure"
    if prefixed.startswith(b"__host-") and (attributes.domain or attributes.path != b"/"):
        return "host-prefix-with-domain-or-path"
    return ""
