"""Echo Network, an invented third party on another host: a script, a pixel and a map, each with its own cookie.

Run it on 127.0.0.1 while the site is on localhost: cookies ignore ports, so only another host makes it a third party.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

YEAR = 365 * 86400
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)  # a transparent GIF of one dot

TAG = """\
(() => {
  localStorage.setItem("echo_queue", JSON.stringify({page: location.pathname, at: Date.now()}));
  document.cookie = "_echo_fp=" + Math.random().toString(36).slice(2) + "; max-age=31536000; path=/";
  document.documentElement.dataset.echo = "loaded";
})();
"""

MAP = (Path(__file__).parent / "map.html").read_text(encoding="utf-8")


def remember(request: Request, response: Response, name: str) -> Response:
    # What third parties of today send: browsers that block their cookies otherwise still keep a partitioned one.
    value = request.cookies.get(name) or secrets.token_hex(8)
    cookie = f"{name}={value}; Max-Age={YEAR}; Path=/; SameSite=None; Secure; Partitioned"
    response.headers.append("set-cookie", cookie)
    return response


async def tag(request: Request) -> Response:
    return remember(request, Response(TAG, media_type="text/javascript"), "echo_id")


async def pixel(request: Request) -> Response:
    return remember(request, Response(PIXEL, media_type="image/gif"), "echo_px")


async def map_(request: Request) -> Response:
    return remember(request, HTMLResponse(MAP), "echo_map")


app = Starlette(routes=[Route("/tag.js", tag), Route("/pixel.gif", pixel), Route("/map", map_)])
