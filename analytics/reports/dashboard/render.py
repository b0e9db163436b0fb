"""Templates and static files: strict Content-Security-Policy, content-hashed names, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
STATIC = ("dashboard.css", "dashboard.js", "uplot.css", "uplot.js", "icon.svg")


@cache
def _static(name: str) -> tuple[bytes, bytes, str]:
    """Content, the same compressed, and the name under which it is served."""
    raw = files("analytics.reports.dashboard").joinpath("static", name).read_bytes()
    stem, _, ending = name.rpartition(".")
    return raw, gzip.compress(raw, 9, mtime=0), f"{stem}.{hashlib.sha256(raw).hexdigest()[:12]}.{ending}"


def static_url(name: str) -> str:
    return f"/static/{_static(name)[2]}"


def static_routes() -> list[Route]:
    async def serve(request: Request) -> Response:
        wanted = request.path_params["name"]
        for name in STATIC:
            raw, packed, served_as = _static(name)
            if served_as == wanted:
                headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
                headers["x-content-type-options"] = "nosniff"
                body = raw
                if "gzip" in request.headers.get("accept-encoding", ""):
                    body, headers["content-encoding"] = packed, "gzip"
                return Response(body, media_type=TYPES[name.rpartition(".")[2]], headers=headers)
        return Response("not found\n", 404, media_type="text/plain")

    return [Route("/static/{name}", serve, methods=["GET"])]


class Renderer:
    """Templates of this folder; everything that is put in is escaped."""

    def __init__(self) -> None:
        loader = jinja2.PackageLoader("analytics.reports.dashboard", "templates")
        self.environment = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.environment.globals["static"] = static_url
        self.environment.filters["json"] = lambda value: msgspec.json.encode(value).decode()

    def __call__(self, template: str, request: Request, status: int = 200, **context: Any) -> Response:
        from analytics.reports.dashboard import views

        plain: dict[str, Any] = {"view": None, "grant": None, "sites": [], "page": "", "views": views, "blocked": False}
        body = self.environment.get_template(template).render({**plain, **context}).encode()
        headers = {**PAGE_HEADERS, "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = gzip.compress(body, 5), "gzip"
        return Response(body, status, headers=headers, media_type="text/html")
