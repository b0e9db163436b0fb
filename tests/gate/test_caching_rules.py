"""What one visitor was given never reaches another through a cache."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consent_middleware.caching import is_private, make_private, make_uncached, vary_by
from tests.gate.driving import App, answering, call, consent_cookie, request, values, wrapped
from tests.gate.policies import SHOP, policy

PAGES = SHOP.replace("insert = false", "insert = true").replace('csp = "off"', 'csp = "enforce"')
FRIENDLY = PAGES.replace("insert = true", 'insert = true\ncache = "friendly"')
HTML = (b"content-type", b"text/html; charset=utf-8")
BODY = b"<!doctype html><html><head><title>x</title></head><body><p>hello</p></body></html>"


def head(app: App, tmp_path: Path, sections: str = SHOP, *headers: tuple[bytes, bytes]) -> dict[str, object]:
    return asyncio.run(call(wrapped(app, tmp_path, policy(sections)), request(*headers)))[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"private"),
        (b"public, max-age=600", b"private, max-age=600"),
        (b"s-maxage=600, max-age=5, stale-while-revalidate=9", b"private, max-age=5, stale-while-revalidate=9"),
        (b'private="x-user, x-b", max-age=5', b"private, max-age=5"),
        (b"private, max-age=5", b"private, max-age=5"),
        (b"no-store", b"no-store"),
        (b'no-cache="set-cookie, x"', b'private, no-cache="set-cookie, x"'),
    ],
)
def test_a_response_that_sets_a_cookie_is_for_one_browser_alone(
    before: bytes | None, after: bytes, tmp_path: Path
) -> None:
    told = [(b"Cache-Control", before)] if before is not None else []
    message = head(answering((b"set-cookie", b"sid=1"), *told), tmp_path)
    assert values(message, b"cache-control") == [after]


def test_headers_that_speak_to_a_cdn_over_the_head_of_cache_control_go_with_a_cookie(tmp_path: Path) -> None:
    cdn = [
        (b"CDN-Cache-Control", b"max-age=600"),
        (b"surrogate-control", b"max-age=600"),
        (b"cache-control", b"private"),
    ]
    message = head(answering((b"set-cookie", b"sid=1"), *cdn), tmp_path)
    assert [name for name, _ in message["headers"]] == [b"set-cookie", b"cache-control"]


def test_a_response_without_a_cookie_is_left_to_the_site(tmp_path: Path) -> None:
    headers = [(b"cache-control", b"public, max-age=600"), (b"content-type", b"text/css")]
    assert head(answering(*headers), tmp_path, PAGES)["headers"] == headers
    # A cookie that was dropped is none.
    dropped = head(answering(*headers, (b"set-cookie", b"_ga=1")), tmp_path, PAGES)
    assert dropped["headers"] == headers


def test_a_page_that_differs_by_visitor_is_private_and_asked_for_again(tmp_path: Path) -> None:
    site = answering(HTML, (b"cache-control", b"public, max-age=600, immutable"), (b"vary", b"Accept"), body=BODY)
    message = head(site, tmp_path, PAGES)
    assert values(message, b"cache-control") == [b"private, no-cache"]
    assert values(message, b"vary") == [b"Accept", b"Cookie"]


def test_a_cache_friendly_page_is_the_same_for_everyone_and_may_be_shared(tmp_path: Path) -> None:
    public = (b"cache-control", b"public, max-age=600")
    of = policy(FRIENDLY)

    async def ask() -> list[list[dict[str, object]]]:
        app = wrapped(answering(HTML, public, (b"etag", b'"1"'), body=BODY), tmp_path, of)
        cookies = [b"x=1", consent_cookie("analytics", "marketing", of=of), consent_cookie("marketing", of=of)]
        return [
            await call(app, request((b"cookie", cookie), (b"accept-language", language)))
            for cookie, language in zip(cookies, (b"en", b"cy", b"de"), strict=True)
        ]

    answers = asyncio.run(ask())
    assert answers[0] == answers[1] == answers[2]
    assert values(answers[0][0], b"cache-control") == [b"public, max-age=600"]
    assert values(answers[0][0], b"vary") == []
    assert values(answers[0][0], b"etag") == [b'"1"']
    assert values(answers[0][0], b"set-cookie") == []
    assert b'data-state="unknown"' in bytes(answers[0][1]["body"])  # type: ignore[arg-type]  # it is bytes


def test_directives_are_read_with_their_quotes() -> None:
    assert not is_private([(b"cache-control", b'private="set-cookie"')])
    assert is_private([(b"Cache-Control", b"max-age=1"), (b"cache-control", b"Private")])
    assert make_private([(b"cache-control", b"Public"), (b"Cache-Control", b"max-age=1")]) == [
        (b"cache-control", b"private, max-age=1")
    ]
    assert make_uncached([(b"cache-control", b"no-store")]) == [(b"cache-control", b"no-store")]
    assert vary_by([(b"Vary", b"*")], b"Cookie") == [(b"Vary", b"*")]
    assert vary_by([(b"Vary", b"cookie")], b"Cookie") == [(b"Vary", b"cookie")]
