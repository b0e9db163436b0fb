"""The middleware and everything that servers and frameworks really send: nothing vanishes, nothing else changes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio

from consent_middleware import request_headers
from consent_middleware.declared import FilteredCookie
from tests.gate.driving import KEYS, Seeing, answering, call, consent_cookie, request, values, wrapped
from tests.gate.policies import SHOP, policy

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run() -> Run:
    """All of one test runs in one event loop, as all of one worker does."""
    return asyncio.run


FORMS: list[Callable[[list[tuple[bytes, bytes]]], object]] = [
    list,
    tuple,
    iter,
    lambda pairs: [[n, v] for n, v in pairs],
]


@pytest.mark.parametrize("form", FORMS, ids=["list", "tuple", "iterator", "lists"])
@pytest.mark.parametrize("name", [b"cookie", b"Cookie", b"COOKIE"])
def test_request_cookies_are_found_in_any_form_and_case(
    form: Callable[[Any], Any], name: bytes, tmp_path: Path, run: Run
) -> None:
    site = Seeing()
    scope = request((b"x", b"1"), (name, b"sid=1; _ga=2; basket=3"), (b"y", b"2"))
    scope["headers"] = form(scope["headers"])
    run(call(wrapped(site, tmp_path), scope))
    assert [tuple(pair) for pair in site.scope["headers"]] == [
        (b"host", b"www.example.org"),
        (b"x", b"1"),
        (name, b"sid=1; basket=3"),
        (b"y", b"2"),
    ]


@pytest.mark.parametrize("form", FORMS, ids=["list", "tuple", "iterator", "lists"])
@pytest.mark.parametrize("name", [b"set-cookie", b"Set-Cookie"])
@pytest.mark.parametrize("kind", ["http.response.start", "websocket.accept", "websocket.http.response.start"])
def test_set_cookie_is_filtered_in_three_places(
    form: Callable[[Any], Any], name: bytes, kind: str, tmp_path: Path, run: Run
) -> None:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        headers = form([(b"X", b"1"), (name, b"sid=1"), (name, b"_ga=2"), (name, b"offer=; Max-Age=0")])
        await send({"type": kind, "status": 200, "headers": headers})

    scope = request()
    scope["type"] = kind.partition(".")[0]
    (message,) = run(call(wrapped(site, tmp_path), scope))
    assert isinstance(message["headers"], list)
    assert [tuple(pair) for pair in message["headers"]][:3] == [
        (b"X", b"1"),
        (name, b"sid=1"),
        (name, b"offer=; Max-Age=0"),
    ]


def test_several_cookie_headers_are_read_as_one(tmp_path: Path, run: Run) -> None:
    site = Seeing()
    split = [(b"cookie", b"sid=1"), (b"cookie", b"_ga=2"), (b"cookie", consent_cookie("marketing"))]
    run(call(wrapped(site, tmp_path), request(*split)))
    assert site.scope["consent"].allows("marketing")
    assert site.cookies == [b"sid=1; " + consent_cookie("marketing")]
    untouched = [(b"cookie", b"sid=1"), (b"cookie", b"basket=2")]
    run(call(wrapped(site, tmp_path), request(*untouched)))
    assert site.cookies == [b"sid=1", b"basket=2"]


def test_no_cookie_header_is_left_when_nothing_is_left(tmp_path: Path, run: Run) -> None:
    site = Seeing()
    run(call(wrapped(site, tmp_path), request((b"cookie", b"_ga=1; other"))))
    assert site.cookies == []


def test_a_scope_with_only_its_type_and_path_is_served(tmp_path: Path, run: Run) -> None:
    site = Seeing()
    sent = run(call(wrapped(site, tmp_path), {"type": "http", "path": "/"}))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert not site.scope["consent"].decided


def test_the_servers_scope_and_the_sites_messages_are_not_changed(tmp_path: Path, run: Run) -> None:
    message = {"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"_ga=1"), (b"etag", b'"1"')]}
    before = {**message, "headers": list(message["headers"])}

    async def site(scope: Any, receive: Any, send: Any) -> None:
        scope["mine"] = 1
        await send(message)

    scope = request((b"cookie", b"_ga=1"))
    original = {**scope, "headers": list(scope["headers"])}
    run(call(wrapped(site, tmp_path), scope))
    assert scope == original
    assert message == before


def test_unknown_scopes_pass_untouched(tmp_path: Path, run: Run) -> None:
    seen: list[object] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, receive, send))

    scope, receive, send = {"type": "webtransport"}, object(), object()
    run(wrapped(site, tmp_path)(scope, receive, send))  # type: ignore[arg-type]  # whatever a server makes of them
    assert seen[0] is scope
    assert seen[1] is receive
    assert seen[2] is send


EXTRA = [
    {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
    {"type": "http.response.debug", "info": {}},
    {"type": "http.response.push", "path": "/a", "headers": []},
    {"type": "something.new", "headers": [(b"set-cookie", b"_ga=1")]},
]


def test_unknown_messages_and_extensions_pass_as_the_same_object(tmp_path: Path, run: Run) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x", b"1")], "more_trailers": False}
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")], "trailers": True}
    messages = [*EXTRA, start, {"type": "http.response.zerocopysend", "file": 3, "more_body": True}]
    messages += [{"type": "http.response.pathsend", "path": "/tmp/x"}, trailers]

    async def site(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"] == {"tls": {}, "http.response.pathsend": {}}
        assert scope["state"] == {"db": 1}
        for message in messages:
            await send(message)

    extensions = {"tls": {}, "http.response.pathsend": {}}
    sent = run(call(wrapped(site, tmp_path), request(extensions=extensions, state={"db": 1})))
    assert all(got is sent_by_site for got, sent_by_site in zip(sent, messages, strict=True))


def test_a_websocket_knows_the_decision_and_sees_no_ungranted_cookie(tmp_path: Path, run: Run) -> None:
    seen: dict[str, Any] = {}

    async def site(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": "x", "headers": [(b"set-cookie", b"_ga_1=1")]})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close", "code": 1000})

    scope = request((b"cookie", consent_cookie("marketing") + b"; _ga=1; offer=2"))
    scope |= {"type": "websocket", "scheme": "wss"}
    sent = run(call(wrapped(site, tmp_path), scope, [{"type": "websocket.connect"}]))
    assert seen["consent"].granted == {"marketing"}
    assert seen["visit"]
    assert values(seen, b"cookie") == [consent_cookie("marketing") + b"; offer=2"]
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[0]["subprotocol"] == "x"
    assert values(sent[0], b"set-cookie") == []


def test_an_exception_of_the_lifespan_reaches_the_server(tmp_path: Path, run: Run) -> None:
    async def django(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")

    with pytest.raises(ValueError, match="not lifespan"):
        run(call(wrapped(django, tmp_path), {"type": "lifespan", "state": {}}))


def test_services_open_before_the_site_starts_and_close_after_it_stopped(tmp_path: Path, run: Run) -> None:
    steps: list[str] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            steps.append(f"{step} {app._opening.services is not None}")
            await send({"type": f"lifespan.{step}.complete"})

    app = wrapped(site, tmp_path)
    lifespan = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = run(call(app, {"type": "lifespan", "state": {}}, lifespan))
    assert steps == ["startup True", "shutdown True"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert app._opening.services is None


@pytest.mark.parametrize("hooks", [True, False])
def test_a_second_event_loop_gets_services_of_its_own(hooks: bool, tmp_path: Path) -> None:
    async def ask() -> object:
        if not hooks:  # by which loops are told apart; not every loop sets them
            sys.set_asyncgen_hooks(None, None)
        for path in ("/", "/_consent/state", "/"):
            assert (await call(app, request(path=path)))[0]["status"] == 200
        return app._opening.services

    app = wrapped(answering(), tmp_path)
    assert asyncio.run(ask()) is not asyncio.run(ask())


def test_our_own_pages_work_whatever_the_site_knows(tmp_path: Path, run: Run) -> None:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the site was asked")

    async def ask() -> list[int]:
        app = wrapped(site, tmp_path, policy(SHOP + "[capture]\nplausible = true\n"))
        paths = [
            "/_consent",
            "/_consent/",
            "/_consent/state",
            "/_consent/nothing",
            "/.well-known/gpc.json",
            "/api/event",
        ]
        scopes = [request(path=path) for path in paths]
        scopes.append(request(path="/mounted/_consent/state", root_path="/mounted"))
        return [(await call(app, scope))[0]["status"] for scope in scopes]

    assert run(ask()) == [200, 200, 200, 404, 200, 405, 200]


def test_paths_that_only_look_like_ours_are_the_sites(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        app = wrapped(answering(status=299), tmp_path)
        for path in ("/_consentx", "/x/_consent/", "/api/event", "/.well-known/gpc.json/x"):
            assert (await call(app, request(path=path)))[0]["status"] == 299, path

    run(ask())


@pytest.mark.parametrize(
    ("header", "counts"),
    [
        ((b"1",), True),
        ((b"0",), False),
        ((b"true",), False),
        ((b"1, 1",), False),
        ((b"",), False),
        ((b"1", b"0"), False),
    ],
)
def test_the_privacy_signal_counts_when_it_is_exactly_one(
    header: tuple[bytes, ...], counts: bool, tmp_path: Path, run: Run
) -> None:
    site = Seeing()
    american = policy(SHOP + '[consent]\nregimes = { default = "opt-out" }\n')
    signals = [(b"Sec-GPC", value) for value in header]
    run(call(wrapped(site, tmp_path, american), request(*signals, (b"dnt", b"1"))))
    assert site.scope["consent"].signals == (("gpc",) if counts else ())
    assert site.scope["consent"].allows("marketing") is not counts


def test_dnt_counts_only_where_the_policy_says_so(tmp_path: Path, run: Run) -> None:
    site = Seeing()
    honours = policy(SHOP + '[consent]\nhonour_dnt = true\nregimes = { default = "opt-out" }\n')
    run(call(wrapped(site, tmp_path, honours), request((b"dnt", b"1"))))
    assert site.scope["consent"].signals == ("dnt",)


PROXIED = SHOP.replace(
    "insert = false", 'insert = false\ntrusted_proxies = ["10.0.0.0/8"]\ncountry_header = "cf-ipcountry"', 1
) + ('[consent]\nregimes = { US = "opt-out", GB = "uk-statistics", default = "opt-in" }\n')


@pytest.mark.parametrize(
    ("peer", "country", "regime"),
    [
        ("10.1.2.3", b"US", "opt-out"),
        ("10.1.2.3", b"GB", "uk-statistics"),
        ("10.1.2.3", b"XX", "opt-in"),
        ("10.1.2.3", b"", "opt-in"),
        ("192.0.2.9", b"US", "opt-in"),
    ],
)
def test_the_regime_follows_the_country_that_a_trusted_proxy_names(
    peer: str, country: bytes, regime: str, tmp_path: Path, run: Run
) -> None:
    site = Seeing()
    scope = request((b"CF-IPCountry", country), client=(peer, 1))
    run(call(wrapped(site, tmp_path, policy(PROXIED)), scope))
    assert site.scope["consent"].regime == regime


def test_only_a_trusted_proxy_is_believed_about_https(tmp_path: Path, run: Run) -> None:
    of = policy(PROXIED)
    cookie = (b"cookie", consent_cookie("marketing", of=of))
    for peer, proto, believed in (
        ("10.0.0.1", b"https", True),
        ("192.0.2.1", b"https", False),
        ("10.0.0.1", b"http", False),
    ):
        site = Seeing()
        scope = request(cookie, (b"x-forwarded-proto", proto), client=(peer, 1), scheme="http")
        run(call(wrapped(site, tmp_path, of), scope))
        assert site.scope["consent"].decided is believed, (peer, proto)
        assert site.scope["scheme"] == "http"


def test_a_cached_verdict_ends_with_the_cookie(tmp_path: Path, run: Run) -> None:
    lifetime = 182 * 86_400

    async def ask() -> list[bool]:
        site = Seeing()
        app = wrapped(site, tmp_path)
        cookie = consent_cookie("marketing", at=int(time.time()) - lifetime + 2)
        decided = []
        for pause in (0.0, 0.0, 2.1):
            await asyncio.sleep(pause)
            await call(app, request((b"cookie", cookie)))
            decided.append(site.scope["consent"].decided)
        return decided

    assert run(ask()) == [True, True, False]


def test_a_cached_verdict_ends_when_its_key_leaves_the_list(tmp_path: Path, run: Run) -> None:
    async def ask() -> list[bool]:
        site = Seeing()
        app = wrapped(site, tmp_path)
        decided = []
        for keys in (KEYS, [*KEYS, "a newer key"], ["a newer key"]):
            app.rotate_keys(keys)
            for _ in range(2):
                await call(app, request((b"cookie", consent_cookie("marketing"))))
                decided.append(site.scope["consent"].decided)
        return decided

    assert run(ask()) == [True, True, True, True, False, False]


def test_a_withdrawal_elsewhere_ends_a_cached_yes_and_deletes_what_it_allowed(tmp_path: Path, run: Run) -> None:
    async def ask() -> list[object]:
        seen: list[object] = []

        async def site(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["consent"].allows("marketing"))
            await answering((b"content-type", b"text/html"))(scope, receive, send)

        app = wrapped(site, tmp_path)
        scope = request((b"cookie", consent_cookie("marketing") + b"; offer=1"))
        await call(app, scope)
        services = app._opening.services
        assert services is not None
        services.revocations.ids["A" * 22] = 0
        seen += values((await call(app, scope))[0], b"set-cookie")[:1]
        return seen

    assert run(ask()) == [True, False, b"offer=; Max-Age=0; Path=/; Secure"]


def test_never_repeating_cookies_do_not_fill_the_memory(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        app = wrapped(answering(), tmp_path)
        for number in range(10_000):
            await call(
                app, request((b"cookie", b"_ga=%d; " % number + b"x" * (number % 2000)), (b"x-%d" % number, b""))
            )
        verdicts = app._reader._verdicts
        assert len(verdicts) + len(verdicts.old) <= 8192
        headers = [key if isinstance(key, bytes) else key[0] for half in (verdicts, verdicts.old) for key in half]
        assert sum(map(len, headers)) <= 8_000_000
        shapes = app._reader.rules[True]._shapes
        assert len(shapes) + len(shapes.old) <= 2048
        assert len(request_headers._places) <= 512

    run(ask())


def test_long_headers_of_consenting_visitors_do_not_fill_the_memory(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        app = wrapped(answering((b"content-type", b"text/html")), tmp_path)
        for number in range(3000):
            visitor = b"; __Host-visitor=%022d" % number
            headers = [
                (b"user-agent", b"%d" % number + b"a" * 8000),
                (b"referer", b"https://%d.example/" % number * 200),
            ]
            await call(app, request((b"cookie", consent_cookie("analytics") + visitor), *headers))
        services = app._opening.services
        assert services is not None
        assert services.spool.appended == 3000
        for cache in (services.capture.rows._pages, services.capture.rows._browsers):
            held = [part for half in (cache, cache.old) for key in half for part in key]
            assert sum(len(part) for part in held if isinstance(part, str | bytes)) <= 12_000_000

    run(ask())


def test_a_visitor_cookie_that_we_never_issued_is_no_visitor(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        app = wrapped(answering(), tmp_path)
        for value, known in ((b"a" * 22, "a" * 22), (b"a" * 21, None), (b"a" * 9000, None), (b"\xff" * 22, None)):
            scope = request((b"cookie", consent_cookie("analytics") + b"; __Host-visitor=" + value))
            assert app._reader.read(scope, ()).verdict.visitor_id == known

    run(ask())


def test_headers_of_the_wrong_type_break_neither_site_nor_promise(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A number where bytes belong makes our code fail: the cookie is lost, the page is not; the log says so once."""

    async def ask() -> list[list[dict[str, Any]]]:
        site = answering((b"set-cookie", 1), (b"set-cookie", b"basket=2"))  # type: ignore[arg-type]  # the fault
        app = wrapped(site, tmp_path)
        answers = [await call(app, request((b"cookie", "sid=1"))) for _ in range(3)]  # type: ignore[arg-type]  # too
        assert sum("Set-Cookie" in message for message in caplog.messages) == 1
        assert app.counts["a request could not be read"] == 3
        return answers

    for sent in run(ask()):
        assert values(sent[0], b"set-cookie") == [b"basket=2"]
        assert sent[1]["body"] == b"ok"


def test_a_worker_that_loses_its_data_folder_serves_the_site_behind_the_gate(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        site = Seeing()
        app = wrapped(site, tmp_path)
        (tmp_path / "var").rmdir()
        (tmp_path / "var").write_text("a file stands where the folder should be")
        await call(app, request((b"cookie", consent_cookie("marketing") + b"; offer=1; _ga=1")))
        assert site.scope["consent"].allows("marketing")
        assert site.cookies == [consent_cookie("marketing") + b"; offer=1"]

    run(ask())


def test_without_services_the_site_is_served_and_our_own_pages_say_that_they_are_not_available(tmp_path: Path) -> None:
    """Under an event loop that is not asyncio's there is neither ledger nor spool; the gate needs none of them."""

    async def ask() -> None:
        site = Seeing()
        app = wrapped(site, tmp_path)
        await call(app, request((b"cookie", consent_cookie("marketing") + b"; offer=1; _ga=1")))
        assert site.scope["consent"].allows("marketing")
        assert site.cookies == [consent_cookie("marketing") + b"; offer=1"]
        (head, _) = await call(app, request(path="/_consent/"))
        assert head["status"] == 503

    trio.run(ask)


def test_the_page_view_is_written_before_the_last_part_of_the_body_leaves(tmp_path: Path, run: Run) -> None:
    async def ask() -> list[int]:
        written: list[int] = []

        async def site(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body", "body": b"b"})

        app = wrapped(site, tmp_path)
        scope = request((b"cookie", consent_cookie("analytics")))

        async def send(message: dict[str, Any]) -> None:
            services = app._opening.services
            assert services is not None
            written.append(services.spool.appended)

        await app(scope, call, send)  # type: ignore[arg-type]  # nothing is received
        await app({**scope, "method": "HEAD"}, call, send)  # type: ignore[arg-type]  # nothing is received
        return written

    assert run(ask()) == [0, 0, 1, 1, 1, 1]


def test_undeclared_cookies_are_counted_by_name_and_broken_ones_by_reason(tmp_path: Path, run: Run) -> None:
    async def ask() -> None:
        site = answering((b"set-cookie", b"spy=1"), (b"set-cookie", b"_ga=1"), (b"set-cookie", b"sid=1; SameSite=None"))
        app = wrapped(site, tmp_path)
        await call(app, request((b"cookie", b"snoop=1; _ga=1; consent=x")))
        services = app._opening.services
        assert services is not None
        seen = {(entry.kind, entry.name, entry.where) for entry in services.inventory.seen()}
        assert ("cookie", "spy", "www.example.org") in seen
        assert ("cookie", "snoop", "www.example.org") in seen
        assert ("note", "cookie samesite-none-without-secure", "sid") in seen
        assert app.counts["cookie not-granted"] == 1

    run(ask())


def test_a_report_of_a_cookie_needs_no_services(tmp_path: Path) -> None:
    wrapped(answering(), tmp_path)._report(FilteredCookie(None, b"x", "undeclared"), b"")
