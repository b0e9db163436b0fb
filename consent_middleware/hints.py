"""Link headers: a browser preloads and preconnects by them as by the link elements of a page. Pure."""

from __future__ import annotations

import re

from consent_middleware.holding import Holder

_MARKS = re.compile(rb'[<>",\\]')
_RELATION = re.compile(rb';\s{0,20}rel\s{0,20}=\s{0,20}(?:"([^"]{0,500})"|([^\s;,"]{1,500}))', re.IGNORECASE)


def agreed_links(value: bytes, holder: Holder) -> bytes:
    """A Link header without what would fetch from a third party without consent; unchanged when there is none."""
    links = split_links(value)
    kept = [link for link in links if not _waits(link, holder)]
    return value if len(kept) == len(links) else b", ".join(link.strip() for link in kept)


def split_links(value: bytes) -> list[bytes]:
    """The links of a header: parted by commas outside of angle brackets and quotation marks (RFC 8288, 3)."""
    links, start, inside, escaped = [], 0, b"", -1
    for found in _MARKS.finditer(value):
        mark, at = found.group(), found.start()
        if at == escaped:
            continue
        if inside:
            if mark == b"\\" and inside == b'"':
                escaped = at + 1
            elif mark == inside:
                inside = b""
        elif mark == b"<":
            inside = b">"
        elif mark == b'"':
            inside = b'"'
        elif mark == b",":
            links.append(value[start:at])
            start = at + 1
    return [*links, value[start:]]


def _waits(link: bytes, holder: Holder) -> bool:
    address, _, parameters = link.strip().removeprefix(b"<").partition(b">")
    relation = _RELATION.search(parameters)
    relations = (relation.group(1) or relation.group(2) or b"") if relation else b""
    attributes = {"rel": relations.decode("latin-1"), "href": address.decode("latin-1")}
    return holder.check("link", attributes) is not None
