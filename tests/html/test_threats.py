"""Thinking like an attacker: what the gate inserts, where it inserts it, and what its routes take in."""

from __future__ import annotations

import json

import pytest
import turbohtml
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from consent_middleware import consent_mode, inventory
from consent_middleware.holding import Hold, unquoted
from consent_middleware.inventory import Inventory, clean
from consent_middleware.once import shown_once
from consent_middleware.policy_sections import Vendor
from tests.html.pages_for_tests import POLICY, POLICY_TEXT, gated

HOSTILE = [
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "a b=c onload=alert(1)",
    "</template><script>alert(1)</script>",
    "`${alert(1)}`",
    "&#34;&gt;<x>",
    "\u2028\u2029 x",
    "日本 = 1>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_vendors_name_is_a_value_and_never_markup(name: str) -> None:
    policy = POLICY.parse(POLICY_TEXT.replace('"Tube & Co"', json.dumps(name)))
    out = gated("<iframe src=//tube.example/1></iframe>", policy=policy)
    tree = turbohtml.parse(out.decode())
    template = tree.find("template")
    assert template.attrs["data-vendor"] == name
    assert set(template.attrs) == {"data-purpose", "data-vendor"}
    assert not tree.find_all("script")


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(lambda value: "\0" not in value and "\r" not in value))
def test_an_unquoted_value_means_itself_and_can_end_nothing(value: str) -> None:
    try:
        written = unquoted(value)
    except UnicodeEncodeError:
        return
    assert not set(b"\"'<>= \t\n\r\f`") & set(written)
    assert turbohtml.parse(b"<p title=%s>" % written).find("p").attrs["title"] == _as_parsed(value)


def _as_parsed(value: str) -> str:
    # What the HTML Standard makes of numeric references to C1 controls and surrogates is not the character itself.
    return "".join(turbohtml.parse(f"<p title=&#{ord(letter)};>").find("p").attrs["title"] for letter in value)


def test_the_wrapper_holds_no_quotation_mark_that_could_end_an_attribute_of_the_page() -> None:
    for label in HOSTILE:
        hold = Hold("marketing", label, Vendor(name="x", purpose="marketing", hosts=("x.example",)), "")
        assert not set(b"\"'`") & set(hold.opening())


@pytest.mark.parametrize(
    "page",
    [
        '<svg><style><a title="</style><img src=//tube.example onerror=alert(1)>"></a></style></svg>',
        '<math><mtext></mtext><style><a title="</style><img src=//tube.example onerror=alert(1)>">',
        '<svg><title><a title="</title><img src=//tube.example onerror=alert(1)>">',
        "<svg><![CDATA[><img src=//tube.example onerror=alert(1)>]]></svg>",
        '<div><svg></div><style><a title="</style><img src=//tube.example onerror=alert(1)>"></style>',
        '<p title="<!--"><a title="--><img src=//tube.example onerror=alert(1)>"></a>',
        '<noscript><p title="</noscript><img src=//tube.example onerror=alert(1)>"></noscript>',
        '<textarea><a title="</textarea><img src=//tube.example onerror=alert(1)>">',
        '<select><style><a title="</style><img src=//tube.example onerror=alert(1)>"></select>',
    ],
)
def test_text_that_a_sanitiser_let_through_does_not_become_a_tag_because_of_us(page: str) -> None:
    """The classic of mutation XSS: two readers that disagree where an attribute ends."""

    def handlers(html: bytes) -> int:
        tree = turbohtml.parse(html.decode("latin-1"))
        return sum("onerror" in element.attrs for element in tree.find_all(True))

    assert handlers(gated(page)) <= handlers(page.encode())


@pytest.mark.parametrize("nonce", ['abc"><script>alert(1)</script>', "a b", "", "'", "x" * 300])
def test_a_nonce_that_is_none_is_never_written(nonce: str) -> None:
    out = gated("<html><head></head>", nonce=nonce).decode()
    assert "nonce" not in out
    assert out.count("<script") == 1


def test_the_nonce_stands_on_our_own_script_and_nowhere_else() -> None:
    """Dangling markup in front of it can't catch it, since no wrapper or placeholder carries it."""
    page = "<html><head></head><body><p title='<iframe src=//tube.example/1></iframe><script src=//tube.example/a>"
    out = gated(page, nonce="s3cr3t", placeholder=lambda vendor, url: b"<p>held</p>").decode()
    assert out.count("s3cr3t") == 1


@pytest.mark.parametrize("marker", ["marketing' onload='x", "nothing", "necessary x", "MARKETING", " marketing"])
def test_a_purpose_that_a_page_makes_up_is_never_granted(marker: str) -> None:
    page = f'<script data-purpose="{marker}" src=/own.js></script>'
    assert gated(page, "marketing", "analytics").startswith(b"<template data-purpose=")


def test_a_template_of_the_page_can_not_end_our_wrapper() -> None:
    page = "<object data=//tube.example></template><img src=//tube.example/x onerror=alert(1)></object>"
    assert gated(page).count(b"</template>") == 1


class TestOnce:
    CLICK = ((b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"navigate"))
    QUERY = b"a=1&consent-once=Tube%20%26%20Co"

    def test_a_click_on_the_site_shows_one_vendor(self) -> None:
        assert shown_once(POLICY, self.QUERY, self.CLICK) == {"Tube & Co"}

    @pytest.mark.parametrize(
        "headers",
        [
            (),
            ((b"sec-fetch-site", b"cross-site"), *CLICK[1:]),
            ((b"sec-fetch-site", b"same-site"), *CLICK[1:]),
            ((b"sec-fetch-site", b"none"), *CLICK[1:]),
            (CLICK[0], (b"sec-fetch-mode", b"no-cors")),
            CLICK[:1],
            ((b"referer", b"https://evil.test/example.com"), (b"host", b"example.com")),
            ((b"referer", b"https://example.com.evil.test/"), (b"host", b"example.com")),
            ((b"referer", b"https://example.com@evil.test/"), (b"host", b"example.com")),
            ((b"referer", b"http://["), (b"host", b"example.com")),
            ((b"referer", b"https://example.com/"),),
            ((b"sec-fetch-site", b"cross-site"), (b"referer", b"https://example.com/"), (b"host", b"example.com")),
        ],
    )
    def test_nothing_else_does(self, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        assert shown_once(POLICY, self.QUERY, headers) == frozenset()

    def test_an_old_browser_is_known_by_its_referer(self) -> None:
        headers = ((b"Referer", b"https://example.com/page"), (b"Host", b"EXAMPLE.com:443"))
        assert shown_once(POLICY, self.QUERY, headers) == {"Tube & Co"}

    def test_names_that_no_vendor_has_show_nobody(self) -> None:
        assert shown_once(POLICY, b"consent-once=*&consent-once=marketing", self.CLICK) == frozenset()
        assert shown_once(POLICY, b"consent-once=" + b"x&" * 500, self.CLICK) == frozenset()
        assert shown_once(POLICY, b"consent-once=\xff%ff%00", self.CLICK) == frozenset()


class FakeServices:
    """What the routes take of the services of a worker: the real policy and a real inventory."""

    def __init__(self, folder: object) -> None:
        self.policy = POLICY
        self.inventory = Inventory(folder)  # type: ignore[arg-type]  # pytest's tmp_path


class TestReports:
    @pytest.fixture
    def services(self, tmp_path: object) -> FakeServices:
        return FakeServices(tmp_path)

    @pytest.fixture
    def client(self, services: FakeServices) -> TestClient:
        routes = [*inventory.routes(services), *consent_mode.routes(services)]  # type: ignore[arg-type]  # all they use
        return TestClient(Starlette(routes=routes), base_url="https://example.com")

    @pytest.mark.parametrize(
        "body",
        [
            *(
                b"",
                b"{",
                b"null",
                b"[]",
                b"[1]",
                b'"x"',
                b'{"csp-report": 1}',
                b'[{"body": []}]',
                b"\xff",
                b"[" * 60_000,
            ),
            b'{"csp-report": {"blocked-uri": 5}}',
            b'{"storage": {"local": {"a": 1}}}',
            b'{"storage": {"local": [1, ""]}}',
        ],
    )
    def test_nonsense_is_refused_or_ignored_and_never_an_error(self, client: TestClient, body: bytes) -> None:
        assert client.post("/_consent/csp-report", content=body).status_code in (204, 400)

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_site_can_report_nothing(self, client: TestClient, services: FakeServices, site: str) -> None:
        report = {"csp-report": {"blocked-uri": "https://nobody.test/"}}
        answer = client.post("/_consent/csp-report", json=report, headers={"sec-fetch-site": site})
        assert answer.status_code == 403
        assert services.inventory.seen() == []

    def test_a_report_is_bounded(self, client: TestClient, services: FakeServices) -> None:
        assert client.post("/_consent/csp-report", content=b"x" * 70_000).status_code == 413
        assert services.inventory.seen() == []

    def test_only_the_host_of_a_report_is_kept(self, client: TestClient, services: FakeServices) -> None:
        report = {
            "csp-report": {
                "blocked-uri": "https://user:pw@nobody.test/path/4711?mail=jane@example.com#x",
                "document-uri": "https://example.com/members/jane",
                "effective-directive": "img-src",
            }
        }
        client.post("/_consent/csp-report", json=report)
        client.post("/_consent/csp-report", json=[{"type": "csp-violation", "body": {"blockedURL": "inline"}}])
        client.post("/_consent/csp-report", json={"csp-report": {"blocked-uri": "https://www.example.com/own"}})
        (seen,) = services.inventory.seen()
        assert (seen.name, seen.where, seen.count) == ("nobody.test", "img-src", 1)

    def test_storage_keys_are_kept_by_name_without_what_may_identify(
        self, client: TestClient, services: FakeServices
    ) -> None:
        keys = ["draft-4f2a9c1e77aa", "x" * 500, "a\nb", "plain"]
        client.post("/_consent/csp-report", json={"storage": {"local": keys, "session": ["s"]}})
        names = {(seen.where, seen.name) for seen in services.inventory.seen()}
        assert names == {
            ("local", "draft-*"), ("local", "x" * 128), ("local", "a?b"), ("local", "plain"), ("session", "s")
        }  # fmt: skip

    def test_a_flood_of_names_stays_bounded(self, services: FakeServices) -> None:
        for number in range(5_000):
            services.inventory.blocked_host("".join(chr(97 + int(digit)) for digit in str(number)) + ".test")
        assert len(services.inventory.seen()) <= inventory.MAX_NAMES + 1

    @pytest.mark.parametrize("granted", ["", "ad_storage", "ad_storage.x');alert(1)//", "*", "x" * 5000])
    def test_the_google_file_says_nothing_but_known_signals(self, client: TestClient, granted: str) -> None:
        answer = client.get("/_consent/google-defaults.js", params={"granted": granted})
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "alert" not in answer.text
        assert answer.text.count("'granted'") == (
            1 if granted == "ad_storage" or granted.startswith("ad_storage.") else 0
        )


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_name_in_the_inventory_is_short_and_printable(name: str) -> None:
    assert len(clean(name)) <= 128
    assert clean(name).isascii()
    assert clean(name).isprintable()
