"""Starlette behind the privacy policy: uvicorn examples.starlette.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""


async def home(request: Request) -> Response:
    """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
    response = HTMLResponse(PAGE)
    response.set_cookie("sid", "1", httponly=True)
    response.set_cookie("_ga", "2", max_age=86_400)
    request.scope["visit"].event("home-seen", plan="small")
    return response


async def seen(request: Request) -> Response:
    """What this site gets to see of its visitor."""
    decision = request.scope["consent"]
    return JSONResponse({"cookies": request.cookies, "analytics": decision.allows("analytics")})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"set-cookie", b"_ga=3"), (b"set-cookie", b"sid=4")])
    await websocket.send_json(
        {"cookies": websocket.cookies, "analytics": websocket.scope["consent"].allows("analytics")}
    )
    await websocket.close()


app = Starlette(
    routes=[Route("/", home), Route("/seen", seen), WebSocketRoute("/socket", socket)],
    middleware=[Middleware(ConsentMiddleware, policy=Path(__file__).parents[1] / "privacy.toml")],
)
