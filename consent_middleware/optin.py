"""Double opt-in: a consent to marketing counts once the address itself has confirmed it through a signed link.

Nothing about the address is stored before it confirms; the link carries what is needed. Opening the link shows a
button, since mail scanners open links; pressing it confirms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from starlette.responses import HTMLResponse, Response

from consent_middleware.forms import append_consent, services_of
from consent_middleware.ledger import ConsentRecord, Ledger, LedgerUnavailable
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.suppression import MARKETING, SuppressionList, normalised

if TYPE_CHECKING:
    from starlette.requests import Request

SALT = b"consent_middleware.optin"
VALID_HOURS = 72


class BadLink(ValueError):
    """A confirmation link that can't be believed. `reason` is expired, tampered, or objected."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the confirmation link is not valid: {reason}")
        self.reason = reason


class Asked(msgspec.Struct, frozen=True):
    """What the link carries."""

    address: str
    purpose: str
    notice: str
    language: str


class DoubleOptIn:
    """Makes links and takes confirmations. `secret_keys` are the middleware's, newest last."""

    def __init__(
        self, ledger: Ledger, policy: PrivacyPolicy, secret_keys: Sequence[str], *, valid_hours: int = VALID_HOURS
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._suppression = SuppressionList(ledger, policy)
        self._valid_seconds = valid_hours * 3600
        self._signer = URLSafeTimedSerializer(
            list(secret_keys),
            salt=SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    async def link(self, page: str, address: str, *, text: str, purpose: str = MARKETING, language: str = "en") -> str:
        """The link to send to `address`: `page` (an absolute URL) with a token. `text` is what the person agreed to.

        Raises ValueError for what is no address, LedgerUnavailable.
        """
        address = normalised(address)
        notice = await self._ledger.store_notice(text.encode(), language, self._policy.revision)
        asked = Asked(address, purpose, notice, language)
        token = self._signer.dumps(msgspec.to_builtins(asked))
        return f"{page}?token={quote(token if isinstance(token, str) else token.decode())}"

    async def confirm(self, token: str) -> ConsentRecord:
        """Record the consent; durable on return, and lifts an earlier objection. Raises BadLink, LedgerUnavailable."""
        try:
            content, asked_at = self._signer.loads(token, max_age=self._valid_seconds, return_timestamp=True)
            asked = msgspec.convert(content, Asked)
        except SignatureExpired:
            raise BadLink("expired") from None
        except (BadSignature, msgspec.ValidationError):
            raise BadLink("tampered") from None
        objected = await self._suppression.objected_at(asked.address, purpose=asked.purpose)
        if objected is not None and objected >= asked_at.timestamp():
            raise BadLink("objected")
        text = await self._ledger.text_of_notice(asked.notice)
        if text is None:
            raise BadLink("tampered")
        return await append_consent(
            self._ledger,
            self._policy,
            purpose=asked.purpose,
            given=True,
            text=text.decode(),
            subject=f"email:{asked.address}",
            language=asked.language,
            method="email",
            suppressions=(self._suppression.lifted(asked.address, purpose=asked.purpose),) if objected else (),
        )


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><main><h1>{title}</h1><p>{text}</p>{form}</main></html>"""
FORM = """<form method="post"><input type="hidden" name="token" value="{token}"><button>Confirm</button></form>"""
WORDS = {
    "expired": ("This link has expired", "Nothing was recorded. Please ask for a new one."),
    "tampered": ("This link is damaged", "Nothing was recorded. Please open it exactly as it stands in the e-mail."),
    "objected": ("You objected since", "You asked not to be written to after this link was sent, and that counts."),
}


async def confirmation(request: Request) -> Response:
    """A Starlette endpoint (GET and POST) for the page that the link names."""
    services = services_of(request.scope)
    if request.method != "POST":
        form = FORM.format(token=escape(request.query_params.get("token", "")))
        return _page("Please confirm", "Press the button to confirm that you want to hear from us.", form)
    token = (await request.form()).get("token", "")
    try:
        await DoubleOptIn(services.ledger, services.policy, services.secret_keys).confirm(str(token))
    except BadLink as error:
        return _page(*WORDS[error.reason], status=400)
    except LedgerUnavailable:
        return _page("Not recorded", "We can't record your consent right now. Please try again later.", status=503)
    return _page("Thank you", "Your consent is recorded. You can withdraw it at any time.")


def _page(title: str, text: str, form: str = "", *, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
    return HTMLResponse(PAGE.format(title=title, text=text, form=form), status, headers)
