"""Link headers: a browser preloads and preconnects by them as by the link elements of a page. Pure."""

from __future__ import annotations

import re

from consent_middleware.holding import Holder

# One link: <address> and its parameters, up to a comma outside angle brackets and quotes (RFC 8288, 3).
_LINK = re.compile(rb'<([^>]*)>((?:[^,"<]|"(?:[^"\\]|\\.)*")*)')
_RELATION = re.compile(rb';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


def agreed_links(value: bytes, holder: Holder) -> bytes:
    """A Link header without what would fetch from a third party without consent; unchanged when there is none."""
    links = list(_LINK.finditer(value))
    kept = [link for link in links if not _waits(link, holder)]
    if len(kept) == len(links):
        return value
    return b", ".join(link.group().strip() for link in kept)


def _waits(link: re.Match[bytes], holder: Holder) -> bool:
    relation = _RELATION.search(link.group(2))
    relations = (relation.group(1) or relation.group(2) or b"") if relation else b""
    attributes = {"rel": relations.decode("latin-1"), "href": link.group(1).decode("latin-1")}
    return holder.check("link", attributes) is not None
