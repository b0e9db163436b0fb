"""Values of the gate: what the policy declares of a cookie, and what became of the cookies of a header."""

from __future__ import annotations

import msgspec


class Declared(msgspec.Struct, frozen=True, gc=False):
    """One declaration of the policy, as the gate needs it."""

    name: bytes
    purpose: str
    lifetime: int | None  # seconds; None: a session cookie
    domain: str = ""
    path: str = "/"
    own: bool = False  # set by the middleware alone


class KeptCookies(msgspec.Struct, frozen=True, gc=False):
    """What is left of a Cookie header, and the names that were taken out."""

    value: bytes | None  # None: nothing is left, and the header goes
    undeclared: tuple[bytes, ...] = ()
    not_granted: tuple[bytes, ...] = ()


class FilteredCookie(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one Set-Cookie header. Without a value it is dropped, and `reason` says why."""

    value: bytes | None
    name: bytes
    reason: str = ""
