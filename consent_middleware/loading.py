"""What a start tag makes a browser fetch: the URLs of its attributes, and the hosts they name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin, urlsplit

from consent_middleware.words import words

# Attributes that are fetched as soon as the element is parsed (or connected to, for link).
_FETCHED: dict[str, tuple[str, ...]] = {
    "script": ("src", "href", "xlink:href"),
    "iframe": ("src",),
    "frame": ("src",),
    "img": ("src", "srcset"),
    "image": ("href", "xlink:href", "src", "srcset"),
    "input": ("src",),
    "link": ("href", "imagesrcset"),
    "object": ("data", "codebase", "classid"),
    "embed": ("src",),
    "applet": ("code", "codebase", "archive", "object"),
    "audio": ("src",),
    "video": ("src", "poster"),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "feimage": ("href", "xlink:href"),
}
LOADING_TAGS = frozenset(_FETCHED)
_LOADING_RELATIONS = words(
    "stylesheet icon apple-touch-icon apple-touch-icon-precomposed apple-touch-startup-image mask-icon manifest "
    "preload prefetch modulepreload preconnect dns-prefetch prerender"
)
_SRCSET = re.compile(r"[\s,]*([^\s,]\S*[^\s,]|[^\s,])(?:\s[^,]*)?")
# The URL parser strips these at both ends.
_CONTROL_AND_SPACE = "".join(map(chr, range(0x21)))
# The URL parser drops these wherever they stand, and takes a backslash for a slash.
_DROPPED = str.maketrans("\\", "/", "\t\n\r\f")


def fetched(tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
    """The URLs that a start tag fetches, as written."""
    names = _FETCHED.get(tag, ())
    if tag == "link" and not _LOADING_RELATIONS.intersection(attributes.get("rel", "").lower().split()):
        return
    if tag == "input" and attributes.get("type", "").strip().lower() != "image":
        return
    for name in names:
        value = attributes.get(name)
        if not value:
            continue
        if name.endswith("srcset"):
            yield from (match.group(1) for match in _SRCSET.finditer(value))
        else:
            yield value


def host_of(url: str, base: str = "") -> str:
    """The host that `url` is fetched from, "" for the page's own. `base` is the document's `<base href>`, if any."""
    url = url.strip(_CONTROL_AND_SPACE)
    url = url.translate(_DROPPED)
    scheme = _scheme(url)
    if scheme in {"http", "https", "ws", "wss", "ftp"}:
        # `https:/x`, `https:////x` are the host x; `https:x` is relative where the schemes agree: taken for the host.
        rest = url[len(scheme) + 1 :].lstrip("/")
    elif scheme:
        return ""
    elif url.startswith("//"):
        rest = url.lstrip("/")
    else:
        return host_of(urljoin(base, "x")) if base else ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority.rpartition("@")[2].lower()


def _scheme(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", url)
    return match.group(1).lower() if match else ""


def absolute(url: str, scheme: str = "https") -> str:
    """`//host/path` with a scheme in front; other URLs unchanged."""
    return f"{scheme}:{url}" if url.startswith("//") else url


def is_web_url(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
