"""Litestar behind the privacy policy: uvicorn examples.litestar.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
"""

from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, websocket
from litestar.datastructures import Cookie

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""


@get("/", media_type=MediaType.HTML)
async def home() -> Response[str]:
    """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
    cookies = [Cookie(key="sid", value="1", httponly=True), Cookie(key="_ga", value="2", max_age=86_400)]
    return Response(PAGE, media_type=MediaType.HTML, cookies=cookies)


@get("/seen")
async def seen(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What this site gets to see of its visitor."""
    return {"cookies": dict(request.cookies), "analytics": request.scope["consent"].allows("analytics")}


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept(headers=[(b"set-cookie", b"_ga=3"), (b"set-cookie", b"sid=4")])
    await socket.send_json({"cookies": dict(socket.cookies), "analytics": socket.scope["consent"].allows("analytics")})
    await socket.close()


app = ConsentMiddleware(
    Litestar(route_handlers=[home, seen, socket]), policy=Path(__file__).parents[1] / "privacy.toml"
)
