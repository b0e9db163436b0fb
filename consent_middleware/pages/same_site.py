"""Requests that change something come from our own pages only, and lead back to our own pages only; pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers


def from_this_site(headers: Headers) -> bool:
    """Whether a POST was made by a page of this very origin (or typed by the visitor), as the browser itself says.

    `Sec-Fetch-Site` decides where it exists: a page with `Referrer-Policy: no-referrer` sends `Origin: null`. A
    request with neither header was not made by a browser that a foreign page could have tricked.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    if origin is None:
        return True
    return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def safe_return(target: str | None, host: str) -> str:
    """A path of this site to go back to; anything that could lead elsewhere becomes "/"."""
    if not target or len(target) > 2000 or any(ord(character) < 33 or character == "\\" for character in target):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc:
        if parts.scheme not in {"http", "https"} or parts.netloc.lower() != host.lower():
            return "/"
        target = parts._replace(scheme="", netloc="", fragment=parts.fragment).geturl()
    return target if target.startswith("/") and not target.startswith("//") else "/"
