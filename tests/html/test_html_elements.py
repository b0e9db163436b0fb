"""Which elements wait for consent, what they wait in, and what becomes of them."""

from __future__ import annotations

import re

import pytest
import turbohtml

from consent_middleware.html import HtmlGate, readable
from tests.html.pages_for_tests import POLICY, POLICY_TEXT, gated, granted

TUBE = b"<template data-purpose=marketing data-vendor=Tube&#32;&#38;&#32;Co>"


def kept(element: str) -> bytes:
    return TUBE + element.encode() + b"</template>"


@pytest.mark.parametrize(
    "element",
    [
        "<script src=https://tube.example/a.js></script>",
        "<SCRIPT SRC='HTTPS://WWW.TUBE.EXAMPLE/a.js'>alert('</b>')</SCRIPT >",
        "<script async src=//tube.example:8443/a.js></script>",
        "<script src=\\\\tube.example\\a.js></script>",
        "<script src='\t //tube.example/a.js'></script>",
        "<script src='/\n/tube.example/a.js'></script>",
        "<script src='ht\ntps://tube.example/a.js'></script>",
        "<script src='https:tube.example/a.js'></script>",
        "<script src='https:////tube.example/a.js'></script>",
        "<script src=https://user:pass@tube.example/a.js></script>",
        "<script src='&#47;&sol;tube&period;example/a.js'></script>",
        "<script src=//tube.example./a.js></script>",
        "<iframe src=https://tube.example/1>shown <b>otherwise</b></iframe>",
        "<img src=//cdn.tube.example/p.gif width=1 height=1>",
        "<img src=/own.png srcset='/own.png 1x,//tube.example/p.png 2x'>",
        "<img srcset=//tube.example/p.png>",
        "<input type=image src=//tube.example/i.png>",
        "<link rel='Preload' as=script href=//tube.example/a.js>",
        "<link rel=prefetch href=//tube.example/a.js>",
        "<link rel='dns-prefetch preconnect' href=//tube.example>",
        "<link rel=stylesheet href=//tube.example/s.css />",
        "<link rel=modulepreload href=//tube.example/m.js>",
        "<link rel=preload as=image imagesrcset='//tube.example/a 1x'>",
        "<object data=//tube.example/o><param name=a><object data=/x>own</object>otherwise</object>",
        "<embed src=//tube.example/e>",
        "<video src=//tube.example/v><track src=/t></video>",
        "<video poster=//tube.example/v.jpg></video>",
        "<audio src=//tube.example/a></audio>",
        "<source src=//tube.example/v>",
    ],
)
def test_an_element_of_a_vendor_without_consent_waits_unchanged_in_an_inert_template(element: str) -> None:
    assert gated(f"<p>a</p>{element}<p>b</p>") == b"<p>a</p>" + kept(element) + b"<p>b</p>"
    assert gated(f"<p>a</p>{element}<p>b</p>", "marketing") == f"<p>a</p>{element}<p>b</p>".encode()


@pytest.mark.parametrize(
    "element",
    [
        "<script src=/own.js></script>",
        "<script src=https://www.example.com/own.js></script>",
        "<img src=//static.example.com/a.png>",
        "<img src='data:image/png;base64,//tube.example/'>",
        "<iframe src='about:blank'></iframe>",
        "<iframe srcdoc='<p>own</p>'></iframe>",
        "<link rel=canonical href=//tube.example/>",
        "<link rel=alternate href=//tube.example/feed>",
        "<input name=src src=//tube.example/x>",
        "<a href=//tube.example/>link</a>",
        "<form action=//tube.example/></form>",
        "<link rel=stylesheet href=https://api.fonts.example/css>",
        "<!-- <script src=//tube.example></script> -->",
        "<textarea><script src=//tube.example></script></textarea>",
        "<p></p><title><script src=//tube.example></script></title>",
        '<p title="<script src=//tube.example></script>">x</p>',
        "<script>document.write('<script src=//tube.example><\\/script>')</script>",
        "<style>/* <img src=//tube.example> */</style>",
        "<math><mi></mi><script src=//tube.example></script></math>",
    ],
)
def test_what_loads_nothing_from_a_vendor_without_consent_is_left_alone(element: str) -> None:
    assert gated(element) == element.encode()


def test_a_base_address_decides_whose_relative_addresses_are() -> None:
    page = "<base href=https://tube.example/x/><script src=a.js></script><script src=https://example.com/b.js></script>"
    assert gated(page) == (
        b"<base href=https://tube.example/x/>" + kept("<script src=a.js></script>")
        + b"<script src=https://example.com/b.js></script>"
    )  # fmt: skip


def test_a_tracker_under_the_sites_own_domain_can_be_declared() -> None:
    assert b"data-vendor=Counter" in gated("<script src=https://metrics.example.com/m.js></script>")
    assert b"template" not in gated("<script src=https://www.example.com/m.js></script>")


def test_an_undeclared_third_party_is_held_and_counted_when_the_policy_enforces() -> None:
    seen: list[str] = []
    page = "<script src=https://nobody.test/a.js></script><img src=//nobody.test/b>"
    out = gated(page, "marketing", "analytics", undeclared=seen.append)
    assert out.count(b"<template data-undeclared data-vendor=nobody.test>") == 2
    assert b"data-purpose" not in out
    assert seen == ["nobody.test"]


def test_a_policy_on_trial_counts_undeclared_third_parties_but_never_lets_a_google_tag_load() -> None:
    trial = POLICY.parse(POLICY_TEXT.replace('csp = "enforce"', 'csp = "report"'))
    seen: list[str] = []
    page = "<img src=//nobody.test/b><script src=https://www.googletagmanager.com/gtag/js?id=1></script>"
    out = gated(page, "marketing", policy=trial, undeclared=seen.append)
    assert out.startswith(b"<img src=//nobody.test/b><template data-undeclared data-vendor=www.googletagmanager.com>")
    assert seen == ["nobody.test", "www.googletagmanager.com"]


@pytest.mark.parametrize(
    "element",
    [
        "<script data-purpose=marketing>track()</script>",
        "<script src=/own-tracker.js DATA-PURPOSE='marketing'></script>",
        "<iframe data-purpose=marketing src=/own></iframe>",
        "<img data-purpose=marketing src=/pixel.gif>",
        "<style data-purpose=marketing>@import url(//tube.example/x)</style>",
    ],
)
def test_an_element_marked_by_hand_waits_for_its_purpose(element: str) -> None:
    out = gated(element)
    assert out.startswith(b"<template data-purpose=marketing>")
    assert element.encode() in out
    assert gated(element, "marketing") == element.encode()


def test_a_template_marked_by_hand_is_opened_for_those_who_agreed() -> None:
    page = "<template><p>own</p></template><template data-purpose=marketing><p>a</p><template>t</template></template>"
    assert gated(page) == page.encode()
    assert gated(page, "marketing") == b"<template><p>own</p></template><p>a</p><template>t</template>"


def test_a_noscript_is_cleaned_for_browsers_without_scripts() -> None:
    page = "<noscript><p>x</p><img src=//tube.example/p></noscript>"
    assert gated(page) == b"<noscript><p>x</p>" + kept("<img src=//tube.example/p>") + b"</noscript>"


def test_an_svg_script_waits_where_html_begins_inside_svg() -> None:
    page = "<svg><g/><script xlink:href='//tube.example/a.js'>x < y</script></svg>"
    out = gated(page)
    assert out == (
        b"<svg><g/><desc>" + TUBE + b"<svg><script xlink:href='//tube.example/a.js'>x < y</script></svg></template>"
        b"</desc></svg>"
    )  # fmt: skip
    template = turbohtml.parse(out.decode()).find("template")
    assert template.namespace is turbohtml.Namespace.HTML


def test_what_an_svg_holds_as_markup_is_not_taken_for_text() -> None:
    out = gated("<svg><title><script src=//tube.example></script></title><style><a title='</style>'></a></style></svg>")
    assert TUBE + b"<script src=//tube.example></script></template>" in out


def test_a_cdata_section_of_svg_is_text() -> None:
    page = b"<svg><text><![CDATA[ 1 > 0 <img src=//tube.example/p> ]]></text></svg>"
    assert gated(page) == page
    assert gated(page, chunks=[page[:20], page[20:45], page[45:]]) == page
    assert gated(b"<p><![CDATA[ > <img src=//tube.example/p> ]]>") == (
        b"<p><![CDATA[ > " + kept("<img src=//tube.example/p>") + b" ]]>"
    )


def test_line_ends_and_references_of_the_page_move_no_tag() -> None:
    text = "a\r\n\r\nb\rc\n&amp; &lt;img&gt; &unknown; &#x41;\0\r\n"
    page = f"{text}<p\r\nclass=x>{text}<img\r\nsrc=//tube.example/p\r\n>{text}"
    expected = f"{text}<p\r\nclass=x>{text}".encode() + kept("<img\r\nsrc=//tube.example/p\r\n>") + text.encode()
    assert gated(page) == expected
    assert gated(page, chunks=[page[:n].encode()[-1:] for n in range(1, len(page) + 1)]) == expected


def test_a_video_that_is_never_closed_does_not_swallow_the_page() -> None:
    out = gated("<div><video src=//tube.example/v>old browser</div><p>rest</p>")
    assert out == b"<div>" + kept("<video src=//tube.example/v>old browser") + b"</div><p>rest</p>"


def test_a_frame_leaves_a_placeholder_and_a_pixel_does_not() -> None:
    def placeholder(vendor: object, url: str) -> bytes:
        return f"<p>{url}</p>".encode()

    frame = "<iframe src='https://tube.example/1?a=1&amp;b=2'></iframe>"
    assert gated(frame, placeholder=placeholder) == b"<p>https://tube.example/1?a=1&b=2</p>" + kept(frame)
    for pixel in (
        "<iframe src=//tube.example/1 width=0 height=0></iframe>",
        "<iframe src=//tube.example/1 style='display:none;visibility:hidden'></iframe>",
        "<iframe src=//tube.example/1 hidden></iframe>",
        "<img src=//tube.example/p>",
    ):
        assert gated(pixel, placeholder=placeholder) == kept(pixel)


def test_a_placeholder_never_stands_inside_a_form_of_the_site() -> None:
    page = "<form><iframe src=//tube.example/1></iframe><input></form><iframe src=//tube.example/2></iframe>"
    out = gated(page, placeholder=lambda vendor, url: b"<form>once</form>")
    assert out.count(b"<form>once</form>") == 1
    assert out.index(b"<form>once</form>") > out.index(b"</form>")


def test_a_vendor_is_shown_once_by_name_and_alone() -> None:
    page = "<iframe src=//tube.example/1></iframe><img src=//counter.example/p>"
    out = gated(page, once=frozenset({"Tube & Co"}))
    assert out.startswith(b"<iframe src=//tube.example/1></iframe><template data-purpose=analytics")


OPTIONS = {"head": b"<HEAD>", "body": b"<BODY>"}


class TestInsertion:
    @pytest.mark.parametrize(
        ("page", "expected"),
        [
            ("<!doctype html><html><head></head><body></body>", "<!doctype html><html><head>H</head><body>B</body>"),
            ("<!doctype html><title>x</title><p>y", "<!doctype html><title>x</title>H<p>yB"),
            ("<!doctype html>just text", "<!doctype html>just textHB"),
            ("<html><body>x</html>", "<html>H<body>xB</html>"),
            ("<title>x</title><body>y</body>", "<title>x</title>H<body>yB</body>"),
            ("<html><head><title></head></title></head></html>", "<html><head><title></head></title>H</head>B</html>"),
            ("<html><body><!-- </body> --></body>", "<html>H<body><!-- </body> -->B</body>"),
            ("<html><body><script>'</body>'</script></body>", "<html>H<body><script>'</body>'</script>B</body>"),
            ("<html><body>a</body></body></html>", "<html>H<body>aB</body></body></html>"),
            ("<html><body><p>cut off in <a hre", "<html>H<body><p>cut off inB <a hre"),
            ("<html><body><!-- never closed", "<html>H<body>B<!-- never closed"),
            ("<html><body><textarea>never closed", "<html>H<body><textarea>never closed</textarea>B"),
            ("<html><body><script>never(closed", "<html>H<body><script>never(closed"),
        ],
    )  # fmt: skip
    def test_head_and_body_fragments_go_where_the_page_ends_them(self, page: str, expected: str) -> None:
        policy = POLICY.parse(POLICY_TEXT.replace("google_signals", "# google_signals"))
        out = gated(page, policy=policy, **OPTIONS).decode()
        assert out.replace("<HEAD>", "H").replace("<BODY>", "B") == expected.replace("inB <a", "in B<a")

    @pytest.mark.parametrize("page", ["<p>a fragment</p>", "<script src=/a.js></script><div></div>", "", "text"])
    def test_a_fragment_of_a_page_gets_neither(self, page: str) -> None:
        assert gated(page, **OPTIONS) == page.encode()

    def test_the_body_fragment_is_made_when_the_body_ends(self) -> None:
        gate = HtmlGate(policy=POLICY, allows=granted(), host="example.com", body=lambda: b"<B>")
        assert b"<B>" not in gate.feed(b"<html><body>x")
        assert gate.feed(b"</body>") == b"<B></body>"

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "", "shift_jis", "windows-1252", "koi8-r", "gbk"])
    def test_the_fragment_means_the_same_in_every_charset(self, encoding: str) -> None:
        out = gated(b"<html><body></body>", body="é – あ".encode(), encoding=encoding)
        shown = turbohtml.parse(out.decode(encoding or "ascii")).text
        assert "é – あ" in shown

    def test_a_page_of_a_multibyte_charset_passes_byte_for_byte(self) -> None:
        text = "<html><body><p>" + "表示ソ能" * 50 + "</p></body></html>"
        for encoding in ("shift_jis", "gb18030", "big5", "euc-jp"):
            raw = text.encode(encoding, "replace")
            assert (
                gated(raw, encoding=encoding, policy=POLICY.parse(POLICY_TEXT.replace("google_signals", "# g"))) == raw
            )

    def test_a_charset_that_is_not_ascii_underneath_is_left_alone(self) -> None:
        raw = "<html><body><script src=//tube.example></script></body></html>".encode("utf-16")
        assert not readable("UTF-16LE")
        assert gated(raw, encoding="utf-16", **OPTIONS) == raw


class TestGoogleConsentMode:
    def test_everything_is_denied_before_any_script(self) -> None:
        out = gated("<!doctype html><meta charset=utf-8><script src=/first.js></script><title>x</title>").decode()
        first = out.index("<script")
        assert out.startswith("window.dataLayer", out.index(">", first) + 1)
        for signal in ("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"):
            assert f"{signal}:'denied'" in out
        assert "update" not in out
        assert out.index("charset") < first < out.index("/first.js")

    def test_a_grant_updates_its_signals_only(self) -> None:
        out = gated("<html><head></head>", "analytics").decode()
        assert re.findall(r"'update',\{(.*?)\}", out) == ["analytics_storage:'granted'"]

    @pytest.mark.parametrize("mode", ["enforce", "report", "off"])
    def test_googles_own_snippets_wait_like_the_tags_they_fetch(self, mode: str) -> None:
        text = POLICY_TEXT.replace("google_signals", "# g").replace('csp = "enforce"', f'csp = "{mode}"')
        trial = POLICY.parse(text)
        snippet = (
            "<script>(function(w,d,s,l,i){j.src='https://www.googletagmanager.com/gtm.js?id='+i+dl;"
            "f.parentNode.insertBefore(j,f);})(window,document,'script','dataLayer','GTM-1');</script>"
        )
        waiting = b"<template data-undeclared data-vendor=www.googletagmanager.com>" + snippet.encode() + b"</template>"
        for cut in range(0, len(snippet), 7):
            chunks = [snippet[:cut].encode(), snippet[cut:].encode()]
            assert gated(snippet, "marketing", policy=trial, chunks=chunks) == waiting
        declared = POLICY.parse(text.replace('"tube.example"', '"tube.example", "googletagmanager.com"'))
        assert gated(snippet, policy=declared).startswith(b"<template data-purpose=marketing")
        assert gated(snippet, "marketing", policy=declared) == snippet.encode()
        own = "<script>window.dataLayer=[];gtag('config','G-1'); // see googletagmanager.com\n</script>"
        assert gated(own, policy=trial) == own.encode()

    def test_a_signal_of_two_purposes_needs_both(self) -> None:
        shared = POLICY.parse(POLICY_TEXT.replace('["analytics_storage"]', '["analytics_storage", "ad_storage"]'))
        assert "ad_storage:'granted'" not in gated("<html><head></head>", "analytics", policy=shared).decode()
        assert "ad_storage:'granted'" in gated("<html><head></head>", "analytics", "marketing", policy=shared).decode()

    def test_it_carries_the_sites_nonce_or_comes_as_a_file(self) -> None:
        assert b'<script nonce="abc">window' in gated("<html><head></head>", nonce="abc")
        out = gated("<html><head></head>", "analytics", inline_allowed=False)
        assert b'<script src="/_consent/google-defaults.js?granted=analytics_storage"></script></head>' in out

    def test_a_site_without_google_gets_none_of_it(self) -> None:
        policy = POLICY.parse(POLICY_TEXT.replace("google_signals", "# google_signals"))
        assert gated("<html><head></head>", policy=policy) == b"<html><head></head>"
