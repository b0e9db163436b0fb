"""A browser's cookie handling, written down a second time from RFC 6265bis, step by step and without haste.

Nothing here is shared with the gate: no import of it, no regular expression, one character at a time.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


class Stored(NamedTuple):
    """What ends up in the cookie store. `expires` is a unix time, or None for a session cookie."""

    name: bytes
    value: bytes
    expires: float | None
    domain: bytes
    path: bytes
    secure: bool
    http_only: bool
    same_site: bytes
    partitioned: bool


def is_control(octet: int) -> bool:
    return octet <= 0x08 or 0x0A <= octet <= 0x1F or octet == 0x7F


def trim(text: bytes) -> bytes:
    while text and text[0] in (0x20, 0x09):
        text = text[1:]
    while text and text[-1] in (0x20, 0x09):
        text = text[:-1]
    return text


def lower(text: bytes) -> bytes:
    return bytes(octet + 32 if 0x41 <= octet <= 0x5A else octet for octet in text)


def cut(text: bytes, mark: int) -> tuple[bytes, bytes | None]:
    """Up to the first `mark`, and what follows it, or None when there is none."""
    for index, octet in enumerate(text):
        if octet == mark:
            return text[:index], text[index + 1 :]
    return text, None


def receive(header: bytes, now: float, *, https: bool = True) -> Stored | None:
    """Section 5.6 and the parts of 5.7 that need no host: what a browser stores, or None when it ignores the header."""
    for octet in header:
        if is_control(octet):
            return None
    pair, rest = cut(header, ord(";"))
    name, value = cut(pair, ord("="))
    if value is None:
        name, value = b"", pair
    name, value = trim(name), trim(value)
    if len(name) + len(value) > 4096 or not (name or value):
        return None
    max_age: int | None = None
    expires: int | None = None
    domain = path = same_site = b""
    secure = http_only = partitioned = False
    while rest is not None:
        attribute, rest = cut(rest, ord(";"))
        label, content = cut(attribute, ord("="))
        label, content = lower(trim(label)), trim(content or b"")
        if len(content) > 1024:
            continue
        if label == b"expires":
            moment = date(content)
            if moment is not None:
                expires = moment
        elif label == b"max-age":
            digits = content[1:] if content[:1] == b"-" else content
            if digits and all(0x30 <= octet <= 0x39 for octet in digits):
                number = 0
                for octet in digits:
                    number = number * 10 + octet - 0x30
                max_age = -number if content[:1] == b"-" else number
        elif label == b"domain":
            domain = lower(content[1:] if content[:1] == b"." else content)
        elif label == b"path":
            path = content if content[:1] == b"/" else b""
        elif label == b"secure":
            secure = True
        elif label == b"httponly":
            http_only = True
        elif label == b"samesite":
            same_site = lower(content)
        elif label == b"partitioned":
            partitioned = True
    if secure and not https:
        return None
    if partitioned and not secure:
        return None
    if same_site == b"none" and not secure:
        return None
    prefixed = lower(name or value)
    if prefixed.startswith((b"__secure-", b"__host-")):
        if not name or not secure:
            return None
        if prefixed.startswith(b"__host-") and (domain or path != b"/"):
            return None
    ends: float | None = None
    if max_age is not None:
        ends = now + max_age if max_age > 0 else float("-inf")
    elif expires is not None:
        ends = expires
    return Stored(name, value, ends, domain, path, secure, http_only, same_site, partitioned)


def date(text: bytes) -> int | None:
    """Section 5.1.1."""
    tokens: list[bytes] = []
    token = b""
    for octet in text:
        delimiter = (
            octet == 0x09
            or 0x20 <= octet <= 0x2F
            or 0x3B <= octet <= 0x40
            or 0x5B <= octet <= 0x60
            or 0x7B <= octet <= 0x7E
        )
        if delimiter:
            if token:
                tokens.append(token)
            token = b""
        else:
            token += bytes((octet,))
    if token:
        tokens.append(token)
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in tokens:
        if clock is None and (found := clock_of(token)) is not None:
            clock = found
        elif day is None and (number := number_of(token, 1, 2)) is not None:
            day = number
        elif month is None and lower(token[:3]).decode("latin-1") in MONTHS:
            month = MONTHS.index(lower(token[:3]).decode("latin-1")) + 1
        elif year is None and (number := number_of(token, 2, 4)) is not None:
            year = number
    if clock is None or day is None or month is None or year is None:
        return None
    if 70 <= year <= 99:
        year += 1900
    elif 0 <= year <= 69:
        year += 2000
    if not (1 <= day <= 31) or year < 1601 or clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        return None
    try:
        return int(dt.datetime(year, month, day, *clock, tzinfo=dt.UTC).timestamp())  # type: ignore[misc]  # three parts
    except ValueError:
        return None


def number_of(token: bytes, least: int, most: int) -> int | None:
    """`least*mostDIGIT ( non-digit *OCTET )`."""
    digits = 0
    while digits < len(token) and 0x30 <= token[digits] <= 0x39:
        digits += 1
    return int(token[:digits]) if least <= digits <= most else None


def clock_of(token: bytes) -> tuple[int, int, int] | None:
    """`hms-time ( non-digit *OCTET )`: three fields of one or two digits."""
    fields: list[int] = []
    for index in range(3):
        digits = 0
        while digits < len(token) and 0x30 <= token[digits] <= 0x39:
            digits += 1
        if not 1 <= digits <= 2:
            return None
        fields.append(int(token[:digits]))
        token = token[digits:]
        if index < 2:
            if token[:1] != b":":
                return None
            token = token[1:]
    return fields[0], fields[1], fields[2]


def pairs(header: bytes) -> list[tuple[bytes, bytes]]:
    """The cookies of a Cookie header as (name, value), nameless ones with an empty name, empty ones left out."""
    found: list[tuple[bytes, bytes]] = []
    rest: bytes | None = header
    while rest is not None:
        segment, rest = cut(rest, ord(";"))
        name, value = cut(segment, ord("="))
        if value is None:
            name, value = b"", segment
        if trim(name) or trim(value) or ord("=") in segment:
            found.append((trim(name), trim(value)))
    return found
