"""The request headers that matter here, found in one pass over the list: each has a place in a short list of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

# Name and value, two bytes in a tuple mostly: ASGI allows any sequence, and what somebody put there may be no bytes.
Pair = Any

# One by one: the compiler of the optional wheel writes such a number where its name stands.
COOKIE: Final = 1
HOST: Final = 2
SEC_GPC: Final = 3
DO_NOT_TRACK: Final = 4
PROTO: Final = 5
ACCEPT: Final = 6
DESTINATION: Final = 7
REFERER: Final = 8
# What a captured visit says about the browser, in one run, so that a slice of the list holds it.
USER_AGENT: Final = 9
ACCEPT_LANGUAGE: Final = 10
HINTS: Final = slice(11, 17)
PURPOSE: Final = 17
OLD_PURPOSE: Final = 18
BROWSER: Final = slice(USER_AGENT, HINTS.stop)

NAMES: Final = {
    b"cookie": COOKIE,
    b"host": HOST,
    b"sec-gpc": SEC_GPC,
    b"dnt": DO_NOT_TRACK,
    b"x-forwarded-proto": PROTO,
    b"accept": ACCEPT,
    b"sec-fetch-dest": DESTINATION,
    b"referer": REFERER,
    b"user-agent": USER_AGENT,
    b"accept-language": ACCEPT_LANGUAGE,
    b"sec-ch-ua": 11,
    b"sec-ch-ua-full-version-list": 12,
    b"sec-ch-ua-platform": 13,
    b"sec-ch-ua-platform-version": 14,
    b"sec-ch-ua-mobile": 15,
    b"sec-ch-ua-model": 16,
    b"sec-purpose": PURPOSE,
    b"purpose": OLD_PURPOSE,
}
# Of these, a second header joins the first; of all others the last one holds.
_JOINED: Final = {COOKIE: b"; ", SEC_GPC: b", "}
_NOTHING: Final = [b""] * (OLD_PURPOSE + 1)
REMEMBERED_NAMES: Final = 512
REMEMBERED_NAME_BYTES: Final = 64

_places: Final[dict[Any, int]] = {}


def find_headers(headers: Iterable[Pair]) -> list[bytes]:
    """The values by place; empty for what was not sent. Place 0 holds what does not matter."""
    found: list[Any] = _NOTHING.copy()
    places = _places
    for pair in headers:
        try:
            place = places[pair[0]]
        except KeyError:
            place = place_of(pair[0])
        if place:
            value = pair[1]
            if found[place]:
                value = _again(place, found[place], value)
            found[place] = value
    return found


def with_cookie(headers: Sequence[Pair], before: bytes, cookie: bytes | None) -> list[Pair]:
    """The same headers with another Cookie header at the place of the first one; None: without any.

    `before` is what `find_headers` found. Several headers were joined there, and are equal to none of them.
    """
    try:
        place = headers.index((b"cookie", before))
    except ValueError:
        return _with_cookie(headers, cookie)
    changed = list(headers)
    if cookie is None:
        del changed[place]
    else:
        changed[place] = (b"cookie", cookie)
    return changed


def _with_cookie(headers: Iterable[Pair], cookie: bytes | None) -> list[Pair]:
    changed: list[Pair] = []
    for pair in headers:
        if place_of(pair[0]) != COOKIE:
            changed.append(pair)
        elif cookie is not None:
            changed.append((pair[0], cookie))
            cookie = None
    return changed


def _again(place: int, before: Any, value: Any) -> Any:
    joint = _JOINED.get(place)
    return value if joint is None else before + joint + value


def place_of(name: Any) -> int:
    """The place of a header, whatever the case of its letters. Clients invent names: a bounded number is remembered."""
    place = NAMES.get(name.lower(), 0)
    if len(_places) < REMEMBERED_NAMES and len(name) <= REMEMBERED_NAME_BYTES:
        _places[bytes(name)] = place
    return place
