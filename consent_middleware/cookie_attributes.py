"""Values of the gate: the attributes of one Set-Cookie header."""

from __future__ import annotations

import msgspec


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What the attributes of one Set-Cookie header say; of several with the same name the last one holds."""

    max_age: int | None = None  # seconds; zero or less deletes
    expires: int | None = None  # unix seconds
    domain: bytes = b""  # lower case, without a leading dot; empty: this host only
    path: bytes = b""  # empty: the default path
    same_site: bytes = b""  # lower case
    secure: bool = False
    http_only: bool = False
    partitioned: bool = False

    def lifetime(self, now: float) -> float | None:
        """Seconds until the cookie ends, zero or less when it deletes; None for a session cookie. Max-Age wins."""
        if self.max_age is not None:
            return self.max_age
        return None if self.expires is None else self.expires - now
