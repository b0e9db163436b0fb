"""FastAPI behind the privacy policy: uvicorn examples.fastapi.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""

app = FastAPI()
app.add_middleware(ConsentMiddleware, policy=Path(__file__).parents[1] / "privacy.toml")


@app.get("/", response_class=HTMLResponse)
async def home(response: Response) -> str:
    """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
    response.set_cookie("sid", "1", httponly=True)
    response.set_cookie("_ga", "2", max_age=86_400)
    return PAGE


@app.get("/seen")
async def seen(request: Request) -> dict[str, Any]:
    """What this site gets to see of its visitor."""
    return {"cookies": request.cookies, "analytics": request.scope["consent"].allows("analytics")}


@app.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"set-cookie", b"_ga=3"), (b"set-cookie", b"sid=4")])
    await websocket.send_json(
        {"cookies": websocket.cookies, "analytics": websocket.scope["consent"].allows("analytics")}
    )
    await websocket.close()
