"""Quart behind the privacy policy: uvicorn examples.quart.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
"""

from pathlib import Path
from typing import Any

from quart import Quart, Response, request, websocket
from werkzeug.datastructures import Headers

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""

site = Quart(__name__)


@site.get("/")
async def home() -> Response:
    """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
    response = Response(PAGE, mimetype="text/html")
    response.set_cookie("sid", "1", httponly=True)
    response.set_cookie("_ga", "2", max_age=86_400)
    return response


@site.get("/seen")
async def seen() -> dict[str, Any]:
    """What this site gets to see of its visitor."""
    return {"cookies": dict(request.cookies), "analytics": request.scope["consent"].allows("analytics")}


@site.websocket("/socket")
async def socket() -> None:
    await websocket.accept(headers=Headers([("set-cookie", "_ga=3"), ("set-cookie", "sid=4")]))
    decision = websocket.scope["consent"]
    await websocket.send_json({"cookies": dict(websocket.cookies), "analytics": decision.allows("analytics")})


app = ConsentMiddleware(site, policy=Path(__file__).parents[1] / "privacy.toml")
