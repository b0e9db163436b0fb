"""The visitor's own consent record, signed; and the link that opens a withdrawal's receipt for a few minutes."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from consent_middleware.pages.rendering import page, page_language
from consent_middleware.pages.words import words_for

if TYPE_CHECKING:
    from consent_middleware.services import Services

ONCE_SECONDS = 600


def _serializer(services: Services) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        list(services.secret_keys),
        salt="consent receipt",
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )


def one_time_link(services: Services, record_id: str) -> str:
    """A signed token that opens the receipt of a record for ten minutes, when no cookie holds its id any more."""
    token = _serializer(services).dumps(record_id)
    return token if isinstance(token, str) else token.decode()


async def receipt(services: Services, request: Request) -> Response:
    """The record as JSON-LD, or 404 with an explanation: a refusal is kept without an identifier and has no receipt."""
    from consent_middleware.receipts import RECEIPT_TYPE, NoRecord
    from consent_middleware.receipts import receipt as signed_receipt

    record_id = request.scope["consent"].record_id
    if once := request.query_params.get("once"):
        try:
            record_id = _serializer(services).loads(once, max_age=ONCE_SECONDS)
        except BadData:
            record_id = None
    document = None
    if record_id:
        with contextlib.suppress(NoRecord):
            document = await signed_receipt(services.ledger, record_id)
    if document is not None:
        return Response(
            document,
            media_type=RECEIPT_TYPE,
            headers={
                "content-disposition": 'attachment; filename="consent-receipt.jsonld"',
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
            },
        )
    t = words_for(services.policy, page_language(services.policy, request))
    lines = [
        t("There is no record of a consent for this browser."),
        t("A refusal is kept without any number that leads to you, so it has no receipt."),
    ]
    if "text/html" in request.headers.get("accept", ""):
        return page(services, request, "message.html", status=404, title=t("Receipt"), lines=lines, return_to="/")
    return JSONResponse({"error": " ".join(lines)}, 404, headers={"cache-control": "no-store"})
