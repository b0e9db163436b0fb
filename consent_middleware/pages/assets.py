"""Script and style under names that hold a hash of their bytes, so that they can be cached for ever."""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".ts": "text/plain; charset=utf-8"}
NAMES = ("banner.js", "banner.css", "page.css", "page.js", "statistics.js", "consent.d.ts")
FOR_EVER = "public, max-age=31536000, immutable"


@functools.cache
def asset(name: str) -> tuple[bytes, str]:
    """Bytes of a static file and the 12 hex digits that name them."""
    body = (STATIC / name).read_bytes()
    if not name.endswith(".d.ts"):
        body = lean(body.decode()).encode()
    return body, hashlib.sha256(body).hexdigest()[:12]


@functools.cache
def squeezed(name: str) -> bytes:
    """A static file as gzip, made once: the page's own first paint waits for the same line."""
    return gzip.compress(asset(name)[0], compresslevel=9, mtime=0)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a browser unpacks gzip: it is named, and not with `q=0`."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.strip().removeprefix("q=").strip("0. ") != "" or not weight
    return False


def lean(source: str) -> str:
    """Script or style without indentation and without lines that are a comment as a whole; nothing else is touched."""
    lines = (line.strip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith(("//", "/*")))


@functools.cache
def hashed_name(name: str) -> str:
    """`banner.js` -> `banner.0123456789ab.js`."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}.{asset(name)[1]}{dot}{suffix}"


def serve(request: Request) -> Response:
    """A file. Under its hashed name it never changes; the plain name is checked each time; an old hash leads on."""
    wanted = request.url.path.rpartition("/")[2]
    for name in NAMES:
        stem, dot, suffix = name.partition(".")
        if wanted not in {name, hashed_name(name)} and not (
            wanted.startswith(stem + ".") and wanted.endswith(dot + suffix)
        ):
            continue
        body, digest = asset(name)
        headers = {
            "content-type": TYPES[Path(name).suffix],
            "x-content-type-options": "nosniff",
            "vary": "Accept-Encoding",
        }
        if takes_gzip(request.headers.get("accept-encoding", "")):
            body = squeezed(name)
            headers["content-encoding"] = "gzip"
        if wanted == hashed_name(name):
            return Response(body, headers={**headers, "cache-control": FOR_EVER})
        if wanted == name:
            # Weak: packed or not, it is the same file.
            headers |= {"cache-control": "no-cache", "etag": f'W/"{digest}"'}
            if request.headers.get("if-none-match", "").removeprefix("W/") == f'"{digest}"':
                headers.pop("content-encoding", None)
                return Response(status_code=304, headers=headers)
            return Response(body, headers=headers)
        return RedirectResponse(request.url.path.rpartition("/")[0] + "/" + hashed_name(name), 302)
    return Response("no such file\n", 404, media_type="text/plain")
