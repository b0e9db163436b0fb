"""The site's own paths, read from its route table or sitemap: keys that are known before anybody visits."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

MAX_PATHS = 10_000
MAX_SITEMAP_BYTES = 50_000_000  # sitemaps.org's own limit
_LOC = re.compile(r"<(?:[A-Za-z]\w*:)?loc>\s*(?:<!\[CDATA\[)?\s*([^<\]\s]+)")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))


def known_paths(policy: PrivacyPolicy) -> tuple[str, ...]:
    """`capture.routes` without patterns, and the paths of the file that `capture.sitemap` names; () when there is none.

    A relative sitemap lies beside the policy file. Raises ValueError when it is named and can't be used.
    """
    found = [route for route in policy.capture.routes if is_plain(route)]
    if policy.capture.sitemap:
        base = policy.path.parent if policy.path else Path()
        found += sitemap_paths(base / policy.capture.sitemap)
    paths = tuple(dict.fromkeys(found))
    if len(paths) > MAX_PATHS:
        raise ValueError(
            f"capture.routes and capture.sitemap name {len(paths)} paths; at most {MAX_PATHS} can be counted"
        )
    return paths


def sitemap_paths(path: Path) -> list[str]:
    """The paths of a sitemap.xml on disk; its hosts are ignored. Raises ValueError."""
    try:
        if path.stat().st_size > MAX_SITEMAP_BYTES:
            raise ValueError(f"capture.sitemap: {path} is larger than {MAX_SITEMAP_BYTES} bytes")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(
            f"capture.sitemap: {path}: {error.strerror} (name a file; addresses are not fetched)"
        ) from None
    found = []
    for address in _LOC.findall(text):
        for entity, character in _ENTITIES:
            address = address.replace(entity, character)
        found.append(urlsplit(address).path or "/")
    if not found:
        raise ValueError(f"capture.sitemap: {path} holds no <loc>")
    return found


def is_plain(route: str) -> bool:
    """Whether a route is one path, not a pattern of many."""
    return route.startswith("/") and not re.search(r"[{}<>*:]", route)


def app_paths(app: Any) -> tuple[str, ...]:
    """Plain paths of a Starlette-like app's routes, mounts and wrapping middleware included: for `capture.routes`."""
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app
    return tuple(dict.fromkeys(_walk(getattr(app, "routes", ()), "")))


def imported_paths(name: str) -> tuple[str, ...]:
    """`app_paths` of `module:attribute`, as servers name an app. Raises ValueError."""
    module, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        found = app_paths(getattr(importlib.import_module(module), attribute or "app"))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name}: no such app ({error}); write module:attribute, from the folder of the site"
        ) from None
    finally:
        sys.path.remove(folder)
    if not found:
        raise ValueError(f"{name}: no plain routes were found; write capture.routes by hand, or name a sitemap")
    return found


def _walk(routes: Iterable[Any], prefix: str) -> Iterable[str]:
    for route in routes:
        path = prefix + str(getattr(route, "path", ""))
        children = getattr(route, "routes", None)
        if children:
            yield from _walk(children, path)
        elif is_plain(path) and (getattr(route, "methods", None) is None or "GET" in route.methods):
            yield path
