"""Identity by a signed link in an e-mail: who opens it can read the mailbox of the address that the request is about.

Nothing is noted before the address confirms. Opening the link shows a button, since mail scanners open links. What asks
for a copy is answered on the spot; an objection to marketing takes effect at once; everything else waits for somebody
who looks whether a law or a dispute stands against it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast
from urllib.parse import quote

import msgspec
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from consent_middleware.rights.register import Register
from consent_middleware.rights.request import EMAIL_LINK, RIGHTS, Request, Right
from consent_middleware.suppression import normalised

SALT = b"consent_middleware.rights"
VALID_HOURS = 72


class BadLink(ValueError):
    """A link that can't be believed: `reason` is expired or tampered."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the link is not valid: {reason}")
        self.reason = reason


class Asked(msgspec.Struct, frozen=True):
    """What the link carries; `nonce` makes two links two requests, and one link one."""

    address: str
    right: str
    text: str
    nonce: str


class RequestLinks:
    """Makes links and takes them back. `secret_keys` are the middleware's, newest last."""

    def __init__(self, secret_keys: Sequence[str], *, valid_hours: int = VALID_HOURS) -> None:
        self._valid_seconds = valid_hours * 3600
        self._signer = URLSafeTimedSerializer(
            list(secret_keys),
            salt=SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def link(self, page: str, address: str, right: str, *, nonce: str, text: str = "") -> str:
        """The link to send to `address`: `page` is the absolute URL of `/_consent/data/confirm`.

        Raises ValueError for what is no address or no right.
        """
        if right not in RIGHTS:
            raise ValueError(f'"{right}" is not a right: one of {", ".join(RIGHTS)}')
        token = self._signer.dumps(msgspec.to_builtins(Asked(normalised(address), right, text, nonce)))
        return f"{page}?token={quote(token if isinstance(token, str) else token.decode())}"

    def read(self, token: str) -> Asked:
        """Raises BadLink."""
        try:
            return msgspec.convert(self._signer.loads(token, max_age=self._valid_seconds), Asked)
        except SignatureExpired:
            raise BadLink("expired") from None
        except (BadSignature, msgspec.ValidationError):
            raise BadLink("tampered") from None

    def open(self, register: Register, asked: Asked) -> Request:
        """Note the request; the same link is the same request."""
        return register.open(
            cast(Right, asked.right),
            asked.address,
            identity=EMAIL_LINK,
            by="e-mail link",
            text=asked.text,
            ticket=f"link-{hashlib.sha256(asked.nonce.encode()).hexdigest()[:32]}",
        )
