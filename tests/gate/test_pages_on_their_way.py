"""Pages through the whole middleware: lengths, validators, methods, files, and what is not a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consent_middleware import ConsentMiddleware, PrivacyPolicy
from consent_middleware.document import Document, Documents
from tests.gate.driving import KEYS, answering, call, consent_cookie, request, values, wrapped
from tests.gate.policies import SHOP, policy

VENDOR = '[[vendor]]\nname = "Tube"\npurpose = "marketing"\nhosts = ["tube.example.net"]\ncountry = "GB"\n'
PAGES = SHOP.replace("insert = false", "insert = true").replace('csp = "off"', 'csp = "enforce"') + VENDOR
POLICY = policy(PAGES)
HTML = (b"content-type", b"text/html; charset=utf-8")
FRAME = b'<iframe src="https://tube.example.net/1"></iframe>'
BODY = b"<!doctype html><html lang=en><head><title>x</title></head><body>" + FRAME + b"</body></html>"
ACCEPT = (b"accept", b"text/html,*/*;q=0.8")


def length(message: dict[str, Any]) -> list[bytes]:
    return values(message, b"content-length")


def body(sent: list[dict[str, Any]]) -> bytes:
    return b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_the_length_is_right_or_absent(pieces: int, tmp_path: Path) -> None:
    size = -(-len(BODY) // pieces)
    parts = [BODY[start : start + size] for start in range(0, len(BODY), size)]

    async def site(scope: Any, receive: Any, send: Any) -> None:
        headers = [HTML, (b"Content-Length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})

    sent = asyncio.run(call(wrapped(site, tmp_path, POLICY), request(ACCEPT)))
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * pieces
    assert b'id="consent"' in body(sent)
    assert b"<template" in body(sent)
    assert length(sent[0]) == ([b"%d" % len(body(sent))] if pieces == 1 else [])


SITE_HEADERS = [
    (b"Content-Length", b"%d" % len(BODY)),
    (b"x-frame-options", b"DENY"),
    (b"content-type", b"text/html; charset=latin-1"),
    (b"CONTENT-TYPE", b"text/html"),
    (b"ETag", b'"1"'),
    (b"vary", b"accept-encoding"),
    (b"Vary", b"*"),
    (b"vary", b"Cookie, Accept-Language"),
    (b"Cache-Control", b"public, max-age=60"),
    (b"CDN-Cache-Control", b"max-age=60"),
    (b"Surrogate-Control", b"max-age=60"),
    (b"digest", b"sha-256=abc"),
    (b"accept-ranges", b"bytes"),
    (b"link", b"<https://tube.example.net/1>; rel=preload"),
    (b"Content-Security-Policy", b"default-src 'self'"),
    (b"content-security-policy-report-only", b"default-src 'none'"),
    (b"content-encoding", b"identity"),
    (b"content-encoding", b"br"),
]
POLICIES = [
    POLICY,
    policy(PAGES.replace("insert = true", 'insert = true\nlanguages = ["en", "de"]')),
    policy(PAGES.replace("insert = true", "insert = false")),
    policy(PAGES.replace("insert = true", 'insert = true\ncache = "friendly"')),
    policy(PAGES.replace('"enforce"', '"report"')),
    policy(PAGES.replace('"enforce"', '"off"')),
]


def each_alone(test: Callable[..., None]) -> Callable[..., None]:
    for header in SITE_HEADERS:
        test = example(POLICY, [header], True, True, "GET")(test)
    return test


@each_alone
@settings(deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.lists(st.sampled_from(SITE_HEADERS), max_size=4),
    *(st.booleans(), st.booleans(), st.sampled_from(["GET", "HEAD"])),
)
def test_a_plain_head_gets_what_the_long_way_would_give(
    of: PrivacyPolicy, headers: list[tuple[bytes, bytes]], secure: bool, granted: bool, method: str
) -> None:
    def head(*, plain: bool) -> tuple[Any, ...]:
        documents = Documents(of, pytest.fail)
        if not plain:
            documents.plain = lambda headers: False  # type: ignore[method-assign]  # takes the short way out
        yes = [(b"cookie", consent_cookie("marketing", of=of))] if granted else []
        scope = request(*yes, method=method, scheme="https" if secure else "http")
        app = ConsentMiddleware(answering(), of, "unused", KEYS)
        reading = app._reader.read(scope, ())
        document = Document(documents, documents.request(scope, reading), None)
        left, changes = document.head(200, [HTML, *headers])
        return list(left), changes, document._encoding if changes else "", document._nonce, document._inline_allowed

    assert head(plain=True) == head(plain=False)


def test_a_page_that_streams_is_not_held_back(tmp_path: Path) -> None:
    async def ask() -> None:
        arrived: list[str] = []

        async def site(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
            assert arrived == ["http.response.start"]
            await send({"type": "http.response.body", "body": b"<html><body><p>early</p>", "more_body": True})
            assert arrived[-1].endswith("<p>early</p>")
            await send({"type": "http.response.body", "body": b"</body></html>"})

        async def send(message: dict[str, Any]) -> None:
            arrived.append(message["type"] if "body" not in message else message["body"].decode())

        await wrapped(site, tmp_path, POLICY)(request(ACCEPT), call, send)  # type: ignore[arg-type]  # nothing received

    asyncio.run(ask())


def test_a_kept_copy_is_only_good_for_the_decision_it_was_made_for(tmp_path: Path) -> None:
    async def ask() -> None:
        asked: list[list[bytes]] = []

        async def site(scope: Any, receive: Any, send: Any) -> None:
            asked.append(values(scope, b"if-none-match"))
            assert values(scope, b"if-modified-since") == []
            fresh = asked[-1] == [b'W/"1"']
            headers = [(b"ETag", b'W/"1"'), *([] if fresh else [HTML])]
            await send({"type": "http.response.start", "status": 304 if fresh else 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if fresh else BODY})

        app = wrapped(site, tmp_path, POLICY)
        since = (b"if-modified-since", b"Sat, 21 Nov 2026 00:00:00 GMT")
        yes = (b"cookie", consent_cookie("marketing", of=POLICY))
        (first, _) = await call(app, request(ACCEPT))
        (tag,) = values(first, b"etag")
        (again, _) = await call(app, request(ACCEPT, since, (b"if-none-match", tag)))
        assert again["status"] == 304
        assert values(again, b"etag") == [tag]
        assert values(again, b"cache-control") == [b"private, no-cache"]
        (changed, sent) = await call(app, request(ACCEPT, yes, (b"if-none-match", tag)))
        assert changed["status"] == 200
        assert values(changed, b"etag") != [tag]
        assert b"<template data-purpose=marketing" not in sent["body"]
        assert asked == [[], [b'W/"1"'], []]

    asyncio.run(ask())


def test_head_gets_the_pages_headers_and_no_length(tmp_path: Path) -> None:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        headers = [HTML, (b"content-length", b"%d" % len(BODY)), (b"accept-ranges", b"bytes"), (b"etag", b'"1"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent = asyncio.run(call(wrapped(site, tmp_path, POLICY), request(ACCEPT, method="HEAD")))
    assert body(sent) == b""
    assert length(sent[0]) == []
    assert values(sent[0], b"accept-ranges") == []
    assert values(sent[0], b"etag")[0].startswith(b'"1~c')


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, [HTML, (b"content-range", b"bytes 0-3/100"), (b"content-length", b"4")]),
        (200, [HTML, (b"content-encoding", b"gzip"), (b"content-length", b"4")]),
        (200, [(b"content-type", b"application/json"), (b"content-length", b"4")]),
        (200, [(b"content-length", b"4")]),
    ],
)
def test_parts_compressed_pages_and_other_types_keep_their_bytes(
    status: int, headers: list[tuple[bytes, bytes]], tmp_path: Path
) -> None:
    app = wrapped(answering(*headers, body=b"<ht\xff", status=status), tmp_path, POLICY)
    sent = asyncio.run(call(app, request(ACCEPT)))
    assert body(sent) == b"<ht\xff"
    assert length(sent[0]) == [b"4"]
    assert bool(values(sent[0], b"content-security-policy")) == (headers[0] == HTML)


def test_a_page_is_asked_for_uncompressed_and_not_from_a_file(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answering(HTML, body=BODY)(scope, receive, send)

    async def ask() -> None:
        app = wrapped(site, tmp_path, POLICY)
        extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "tls": {}}
        packed = (b"accept-encoding", b"gzip, br")
        await call(app, request(packed, (b"sec-fetch-dest", b"document"), extensions=extensions))
        await call(app, request(packed, (b"sec-fetch-dest", b"script"), ACCEPT, extensions=extensions))
        assert extensions.keys() == {"http.response.pathsend", "http.response.zerocopysend", "tls"}

    asyncio.run(ask())
    assert [values(scope, b"accept-encoding") for scope in seen] == [[b"identity"], [b"gzip, br"]]
    assert [set(scope["extensions"]) for scope in seen] == [
        {"tls"},
        {"http.response.pathsend", "http.response.zerocopysend", "tls"},
    ]


def test_a_page_sent_from_a_file_all_the_same_leaves_with_its_own_length(tmp_path: Path) -> None:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        headers = [HTML, (b"content-length", b"77")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": "/srv/page.html"})

    sent = asyncio.run(call(wrapped(site, tmp_path, POLICY), request()))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]
    assert length(sent[0]) == [b"77"]


def test_showing_once_works_for_a_click_on_this_site_and_for_nothing_else(tmp_path: Path) -> None:
    async def ask() -> list[bool]:
        app = wrapped(answering(HTML, body=BODY), tmp_path, POLICY)
        shown = []
        for site, mode in ((b"same-origin", b"navigate"), (b"cross-site", b"navigate"), (b"same-origin", b"cors")):
            headers = [(b"sec-fetch-site", site), (b"sec-fetch-mode", mode)]
            sent = await call(app, request(ACCEPT, *headers, query_string=b"consent-once=Tube"))
            (policy_header,) = values(sent[0], b"content-security-policy")
            assert (b"<template data-purpose=marketing" in body(sent)) is not (b"tube.example.net" in policy_header)
            shown.append(b"tube.example.net" in policy_header)
        return shown

    assert asyncio.run(ask()) == [True, False, False]


def test_client_hints_are_asked_for_after_consent_only(tmp_path: Path) -> None:
    async def ask() -> list[bool]:
        app = wrapped(answering(HTML, body=BODY), tmp_path, POLICY)
        visitor = b"; __Host-visitor=" + b"v" * 22
        cookies = [b"x=1" + visitor, consent_cookie("marketing", of=POLICY) + visitor]
        cookies.append(consent_cookie("analytics", of=POLICY) + visitor)
        heads = [(await call(app, request(ACCEPT, (b"cookie", cookie))))[0] for cookie in cookies]
        return [bool(values(head, b"accept-ch")) for head in heads]

    assert asyncio.run(ask()) == [False, False, True]


def test_a_page_that_can_not_be_rewritten_passes_as_it_was(tmp_path: Path) -> None:
    """A body that is no bytes makes our own code fail in the middle of a page."""

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        await send({"type": "http.response.body", "body": b"<html><body><p title='", "more_body": True})
        await send({"type": "http.response.body", "body": bytearray(b"a'>x</p>"), "more_body": True})
        await send({"type": "http.response.body", "body": b"</body></html>"})

    sent = asyncio.run(call(wrapped(site, tmp_path, POLICY), request(ACCEPT)))
    assert b"<p title='a'>x</p>" in body(sent)
