"""Falcon behind the privacy policy: uvicorn examples.falcon.app:app

Set CONSENT_SECRET_KEYS first: python -c "import secrets; print(secrets.token_urlsafe(32))"
"""

from pathlib import Path

import falcon.asgi

from consent_middleware import ConsentMiddleware

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script src="https://counter.example.net/count.js"></script></head><body><h1>Shop</h1></body></html>"""


class Home:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sets both cookies without asking anybody: what was not granted does not reach the browser."""
        resp.content_type = falcon.MEDIA_HTML
        resp.text = PAGE
        resp.set_cookie("sid", "1", http_only=True, secure=False)
        resp.set_cookie("_ga", "2", max_age=86_400, secure=False)


class Seen:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What this site gets to see of its visitor."""
        resp.media = {"cookies": dict(req.cookies), "analytics": req.scope["consent"].allows("analytics")}


class Socket:
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        await ws.accept(headers=[("x-site", "falcon")])  # Falcon sets no cookies here
        await ws.send_media({"cookies": dict(req.cookies), "analytics": req.scope["consent"].allows("analytics")})
        await ws.close()


site = falcon.asgi.App()
site.add_route("/", Home())
site.add_route("/seen", Seen())
site.add_route("/socket", Socket())
app = ConsentMiddleware(site, policy=Path(__file__).parents[1] / "privacy.toml")
