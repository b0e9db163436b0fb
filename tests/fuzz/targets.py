"""Every parser of what others send, each as a function of bytes that fails when a promise of the parser is broken."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from analytics.anonymise.sealed import SealError, read_manifest
from analytics.ingest import accesslog, bots, referrer, useragent
from analytics.reports import query
from analytics.reports.errors import QueryError
from consent_middleware import events_api, hints, set_cookie, visit
from consent_middleware.country import TrustedProxies, truncate
from consent_middleware.events_api import BadEvent
from consent_middleware.gate import CookieRules, cookie_pairs, filter_set_cookie
from consent_middleware.html import HtmlGate
from consent_middleware.pages.choice_request import BadChoice, parse_form
from consent_middleware.pages.same_site import safe_return
from consent_middleware.policy import PolicyError, PrivacyPolicy
from consent_middleware.token import BadToken, ConsentTokens
from tests.gate.policies import policy
from tests.html.pages_for_tests import POLICY as PAGES
from tests.html.pages_for_tests import POLICY_TEXT, granted

POLICY = policy()
RULES = CookieRules(POLICY, secure=True)
ALLOWED = POLICY.required_purposes | {"analytics"}
TOKENS = ConsentTokens(["the key of the fuzzer"], POLICY)
NOW = 1_800_000_000.0
SCRATCH = Path(tempfile.gettempdir())


def cookies(data: bytes) -> None:
    kept = RULES.read(data).filtered(ALLOWED)
    for name, _ in cookie_pairs(kept.value or b""):
        declared = RULES.find(name)
        assert declared is not None
        assert declared.purpose in ALLOWED


def set_cookies(data: bytes) -> None:
    became = filter_set_cookie(data, RULES, ALLOWED, NOW)
    if became.value is None:
        return
    assert not set(became.value) & set(set_cookie.CONTROL_CHARACTERS)
    declared = RULES.find(became.name)
    lifetime = set_cookie.attributes(set_cookie.split(became.value)[2]).lifetime(NOW)
    if lifetime is None or lifetime > 0:
        assert declared is not None
        assert declared.purpose in ALLOWED
        assert not declared.own
        limit = declared.lifetime
        assert lifetime is None or (limit is not None and lifetime <= limit + 86_400)


def token(data: bytes) -> None:
    try:
        choice = TOKENS.decode(data, NOW)
    except BadToken:
        return
    assert TOKENS.encode(choice).encode() == data, "a token that nobody signed was believed"


def form(data: bytes) -> None:
    try:
        parse_form(data)
    except BadChoice:
        return


def return_address(data: bytes) -> None:
    back = safe_return(data.decode("utf-8", "replace"), "www.example.org")
    assert back.startswith("/")
    assert not back.startswith(("//", "/\\"))


def event(data: bytes) -> None:
    try:
        found = events_api.parse(events_api.decode(data))
    except BadEvent:
        return
    assert 0 < len(found.name) <= 120


def user_agent(data: bytes) -> None:
    text = data.decode("latin-1")[: visit.MAX_USER_AGENT]
    useragent.parse(text, text[::-1])
    bots.category(text)
    visit.looks_automated(text)


def referrers(data: bytes) -> None:
    text = data.decode("latin-1")
    host = visit.referrer_host(text, {"example.org"})
    assert "/" not in host or host.startswith("android-app:")
    assert "?" not in host
    referrer.classify(text, text[:20], text[-20:])


def address(data: bytes) -> None:
    text = data.decode("latin-1")
    assert truncate(text) != text or text.endswith((".0", "::")) or not text
    TrustedProxies(["10.0.0.0/8", "::1"]).trusts(text)


def path_and_query(data: bytes) -> None:
    text = data.decode("latin-1")
    visit.scrub_path(text)
    allowed = visit.scrub_query(text, {"utm_source"})
    assert all(not pair or pair.partition("=")[0] == "utm_source" for pair in allowed.split("&"))


def log_line(data: bytes) -> None:
    accesslog.detect(data)


def report_query(data: bytes) -> None:
    try:
        found = query.parse(data)
    except QueryError:
        return
    assert query.parse_object(query.to_object(found)) == found


def manifest(data: bytes) -> None:
    path = SCRATCH / "fuzzed-manifest.json"
    path.write_bytes(data)
    try:
        read_manifest(path)
    except SealError:
        return


def privacy_toml(data: bytes) -> None:
    said = ""
    try:
        PrivacyPolicy.parse(data.decode("utf-8", "replace"))
    except PolicyError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


def links(data: bytes) -> None:
    parts = hints.split_links(data)
    assert b",".join(parts) == data


def html(data: bytes) -> None:
    whole = HtmlGate(policy=PAGES, allows=granted(), host="example.com")
    parts = HtmlGate(policy=PAGES, allows=granted(), host="example.com")
    middle = len(data) // 2
    assert whole.feed(data) + whole.close() == parts.feed(data[:middle]) + parts.feed(data[middle:]) + parts.close()


TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "cookies": (cookies, (b"sid=1; _ga=2; basket=", b"=;;a=b=c; \xff=\x00", b'sid="a;b"; sid')),
    "set_cookies": (
        set_cookies,
        (b"sid=1; Max-Age=86400; Path=/", b"_ga=x; Expires=Wed, 09 Jun 2031 10:18:14 GMT; Secure", b"=x; Domain=.org"),
    ),
    "token": (token, (b"ASHAUfsmOCamFKIAawct3gEAAAAAAAAAAAAAAAAAAAAAAQ.lc1hA2p12Y2sLNsT_KoY96BUYWU4BCOsTPyAWf0qIsY",)),
    "form": (form, (b"choice=save&purpose=analytics&return=%2F", b"a=%ff&;=&&")),
    "return_address": (return_address, (b"/about?x=1#y", b"https://www.example.org/a", b"//evil.example", b"/\\evil")),
    "event": (
        event,
        (b'{"n":"pageview","u":"https://a.example/p?q=1","d":"a.example","p":"{\\"x\\":1}","$":{"amount":"1","currency":"EUR"}}',),
    ),
    "user_agent": (user_agent, (b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1", b"curl/8")),
    "referrers": (referrers, (b"https://www.google.co.uk/search?q=x", b"android-app://com.slack/", b"//[::1]:80/")),
    "address": (address, (b"192.0.2.7", b"2001:db8::1", b"::ffff:1.2.3.4", b"[::1]:80")),
    "path_and_query": (path_and_query, (b"/members/ada@example.org/4111111111111111", b"utm_source=x&id=1")),
    "log_line": (log_line, (b'1.2.3.4 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1', b'{"request":{}}')),
    "report_query": (
        report_query,
        (b'{"site_id":"x","metrics":["visitors"],"date_range":"7d","filters":[["is","event:page",["/"]]]}',),
    ),
    "manifest": (
        manifest,
        (b'{"manifest":{"period":"day:2026-11-19","site":"x","file":{"name":"y"},"number":1}}',),
    ),
    "privacy_toml": (privacy_toml, (POLICY_TEXT.encode(),)),
    "links": (links, (b'<https://a.example/x>; rel="preload"; as=style, </y>; rel=next',)),
    "html": (html, (b"<!doctype html><head></head><script src=//tube.example/a></script><svg><style><img src=x>",)),
}  # fmt: skip


def run(name: str, data: bytes) -> None:
    TARGETS[name][0](data)
