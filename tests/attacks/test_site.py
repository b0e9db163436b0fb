"""What a visitor, another site or the network may try against the pages and doors under the prefix."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import turbohtml
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from consent_middleware.pages.same_site import safe_return
from tests.capture.test_events_routes import EVENT, accept, site
from tests.gate.driving import POLICY, Seeing, call, consent_cookie, request, wrapped
from tests.pages.sites import TEXT, browser, state

DOORS = ("/_consent/", "/_consent/event", "/_consent/data/erase", "/_consent/data/restrict", "/_consent/data/object",
         "/_consent/data/correct")  # fmt: skip
PAGES = ("/_consent/", "/_consent/policy", "/_consent/policy/changes", "/_consent/cookies", "/_consent/data", "/")
PAYLOADS = ("<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{{7*7}}", "{% for x in y %}", "${7*7}",
            "javascript:alert(1)", "</title><svg onload=alert(1)>")  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "sender",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "https://sister.testserver"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
        {"sec-fetch-site": "", "origin": "https://testserver.evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
    ],
)
def test_no_door_opens_to_a_page_of_another_site(tmp_path: Path, door: str, sender: dict[str, str]) -> None:
    visitor = browser(tmp_path)
    visitor.post("/_consent/", data={"choice": "accept"})
    before = dict(visitor.cookies)
    del visitor.headers["sec-fetch-site"]
    headers = {name: value for name, value in sender.items() if value}
    body = {"json": EVENT} if door.endswith("event") else {"data": {"choice": "reject", "confirm": "yes"}}
    answer = visitor.post(door, headers=headers, **body)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert dict(visitor.cookies) == before


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(alphabet="/\\:@.?#%\t\r\n ehvilxampt0", max_size=30),
        st.sampled_from(["//evil.example", "/\\evil.example", "https:evil.example", "http:///evil.example",
                         "https://testserver@evil.example", "https://testserver:1@evil.example/", "\t//evil.example",
                         "/\t/evil.example", "///evil.example", "javascript:alert(1)//", "data:text/html,x", "/a//b"]),
    )
)  # fmt: skip
def test_no_return_address_leads_elsewhere(target: str) -> None:
    back = safe_return(target, "testserver")
    # Browsers drop tabs and line ends and read a backslash as a slash before they resolve.
    as_read = "".join(letter for letter in back if letter not in "\t\r\n").replace("\\", "/")
    assert urlsplit(urljoin("https://testserver/_consent/", as_read)).netloc == "testserver"
    assert back.isprintable()


@pytest.mark.parametrize("value", ["/x\r\nSet-Cookie: a=b", "/x\nx: y", "\r\n\r\n<script>", "/%0d%0aSet-Cookie:%20a=b"])
def test_no_field_writes_a_header(tmp_path: Path, value: str) -> None:
    visitor = browser(tmp_path)
    for field in ("return", "language", "purpose", "source", "choice", "fingerprint"):
        answer = visitor.post("/_consent/", data={"choice": "accept", "return": "/", field: value})
        assert answer.status_code in (303, 400, 409)
        for name, content in answer.headers.multi_items():
            assert "\r" not in name + content
            assert "\n" not in name + content
            assert not content.startswith("a=b")


def test_a_tossed_consent_cookie_neither_grants_nor_hides_the_real_one(tmp_path: Path) -> None:
    seen = Seeing()
    app = wrapped(seen, tmp_path)
    real = consent_cookie("analytics")
    forged = b"__Host-consent=" + b"A" * 40 + b"." + b"B" * 43
    plain = real.removeprefix(b"__Host-")  # a sister host or plain http can set this name, and not the other

    async def granted(cookie: bytes, **more: object) -> bool:
        await call(app, request((b"cookie", cookie), **more))
        return bool(seen.scope["consent"].allows("analytics"))

    async def attempts() -> None:
        assert not await granted(forged)
        assert not await granted(plain)
        assert not await granted(real.replace(b"__Host-", b"__host-"))
        assert not await granted(real, scheme="http")
        assert await granted(forged + b"; " + real)
        assert await granted(real + b"; " + forged)
        await app.close()

    asyncio.run(attempts())


def test_a_planted_visitor_id_is_not_taken_up(tmp_path: Path) -> None:
    """Session fixation: who plants an id before the choice could read it back afterwards."""
    visitor = browser(tmp_path)
    visitor.cookies.set("__Host-visitor", "planted-planted-plante")
    visitor.post("/_consent/", data={"choice": "accept"})
    issued = [cookie.value for cookie in visitor.cookies.jar if cookie.name == "__Host-visitor"]
    assert issued
    assert issued[-1] != "planted-planted-plante"


def hostile(text: str, payload: str) -> str:
    """The example's policy with a payload in every text that a person may write."""
    keys = ("title", "description", "provider", "address", "registration", "supervisory_authority", "retention")
    lines = []
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if key in keys and value.startswith('"') and value.endswith('"'):
            line = key + equals + json.dumps(value[1:-1] + payload)
        lines.append(line)
    return "\n".join(lines)


def active(html: str) -> list[str]:
    """What a browser would run or fetch from a page that is not ours: handlers, inline scripts, script addresses."""
    tree = turbohtml.parse(html)
    found = []
    for element in tree.find_all(True):
        attributes = element.attrs or {}
        found += [f"{element.tag} {name}" for name in attributes if name.lower().startswith("on")]
        for name in ("href", "src", "action", "formaction"):
            value = str(attributes.get(name) or "")
            if "".join(value.split()).lower().startswith(("javascript:", "data:")):
                found.append(f"{element.tag} {name}={value}")
        if element.tag == "script" and not str(attributes.get("src", "")).startswith("/_consent/"):
            found.append("script")
        if element.tag == "img" and attributes.get("src") == "x":
            found.append("img")
    return found


def test_no_text_of_the_policy_becomes_markup_script_or_template(tmp_path: Path) -> None:
    text = hostile(TEXT, " ".join(PAYLOADS))
    assert text.count("alert(1)") > 30
    visitor, other = browser(tmp_path / "hostile", text), browser(tmp_path / "plain")
    for choice in ("reject", "accept"):
        for path in PAGES:
            answer = visitor.get(path)
            assert answer.status_code == 200
            assert active(answer.text) == active(other.get(path).text)
            if path == "/_consent/policy":
                assert "{{7*7}}" in answer.text
        for client in (visitor, other):
            client.post("/_consent/", data={"choice": choice})


def test_no_address_or_header_comes_back_as_markup(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    payload = "".join(PAYLOADS)
    headers = {"referer": f"https://evil.example/{payload}", "user-agent": payload, "accept-language": payload}
    for path in ("/_consent/nothing", "/_consent/", "/_consent/notice/x", "/_consent/data", "/_consent/receipt"):
        answer = visitor.get(path, params={"lang": payload, "return": payload, "x": payload}, headers=headers)
        assert answer.status_code < 500
        if "html" in answer.headers.get("content-type", ""):
            assert active(answer.text) == []
            assert "<script>alert(1)" not in answer.text


def test_a_compressed_body_is_not_unpacked(tmp_path: Path) -> None:
    async def attempt() -> None:
        async with site(tmp_path) as client:
            await accept(client)
            bomb = gzip.compress(json.dumps({**EVENT, "p": {"x": " " * 10_000_000}}).encode())
            headers = {"content-encoding": "gzip", "content-type": "application/json"}
            for door in ("/_consent/event", "/api/event", "/_consent/", "/_consent/csp-report"):
                answer = await client.post(door, content=bomb, headers=headers)
                assert answer.status_code in (400, 413, 415), (door, answer.status_code)

    asyncio.run(attempt())


@pytest.mark.parametrize("door", [*DOORS, "/api/event", "/_consent/csp-report"])
def test_a_body_without_end_is_refused_after_a_bounded_part(tmp_path: Path, door: str) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        for _ in range(300):
            taken += 65_536
            yield b"x" * 65_536

    async def attempt() -> int:
        async with site(tmp_path) as client:
            await accept(client)

            async def parts() -> object:
                for part in endless():  # type: ignore[attr-defined]  # a generator
                    yield part

            return (await client.post(door, content=parts(), headers={"content-type": "application/json"})).status_code

    assert asyncio.run(attempt()) in (400, 413, 415)
    assert taken < 3_000_000


@pytest.mark.parametrize(
    "headers",
    [
        [(b"cookie", b"a=b; " * 20_000)],
        [(b"cookie", b"__Host-consent=" + b"x" * 200_000)],
        [(b"cookie", b"__Host-consent=x; " * 5_000)],
        [(b"cookie", b"=" * 50_000), (b"cookie", b";" * 50_000), (b"cookie", b'"' * 50_000)],
        [(b"user-agent", b"x" * 200_000), (b"referer", b"http://" + b"y" * 200_000)],
        [(b"accept-language", b"en," * 50_000)],
        [(b"x-forwarded-for", b"1.2.3.4," * 50_000), (b"cf-ipcountry", b"Z" * 50_000)],
        [(b"x-header-%d" % number, b"x") for number in range(5_000)],
    ],
)
def test_headers_of_any_size_break_nothing_and_grant_nothing(
    tmp_path: Path, headers: list[tuple[bytes, bytes]]
) -> None:
    seen = Seeing()
    app = wrapped(seen, tmp_path)

    async def attempt() -> None:
        for path in ("/", "/" + "y" * 100_000, "/_consent/"):
            answers = await call(app, request(*headers, path=path))
            assert answers[0]["status"] in (200, 404)
        assert not seen.scope["consent"].allows("analytics")
        await app.close()

    asyncio.run(attempt())
    assert POLICY.optional_purposes


def test_json_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    visitor = browser(tmp_path)
    for body in (
        b"[" * 15_000,
        b'{"choice":' * 1_500,
        b'{"choice": "accept", "purposes": ' + b"[" * 9_000,
        b'{"choice": "accept", "other": ' + b"[" * 9_000,
    ):
        answer = visitor.post("/_consent/", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
    assert not state(visitor)["decided"]
    for door in ("/_consent/event", "/_consent/csp-report"):
        for body in (
            b"[" * 15_000,
            b'{"n":"x","p":' + b'{"a":' * 10_000,
            b'{"csp-report":' + b"[" * 10_000,
            b'{"n":"\xff"}',
            b'{"n":"x","u":"https://e.org/","p":"' + b"[" * 20_000 + b'"}',
        ):
            answer = visitor.post(door, content=body, headers={"content-type": "application/json"})
            assert answer.status_code < 500, door


def test_what_looks_like_sql_or_a_path_is_only_a_name(tmp_path: Path) -> None:
    visitor: TestClient = browser(tmp_path)
    visitor.post("/_consent/", data={"choice": "accept"})
    for name in (
        "' OR 1=1 --",
        "x'; DROP TABLE entries; --",
        "../keys/signing.key",
        "..%2f..%2fkeys",
        "%00",
        "a" * 3000,
    ):
        assert visitor.get(f"/_consent/notice/{name}").status_code == 404
        assert visitor.get("/_consent/receipt", params={"record": name}).status_code in (200, 404)
        answer = visitor.post("/_consent/", data={"choice": "save", "purpose": name, "language": name})
        assert answer.status_code in (303, 400)
    visitor.post("/_consent/", data={"choice": "accept"})
    assert state(visitor)["purposes"]["analytics"]
