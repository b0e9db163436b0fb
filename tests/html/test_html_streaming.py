"""The HTML gate streams: the same bytes out for every chunking, nothing touched that need not be, text at once."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware import markup
from consent_middleware.html import HtmlGate
from tests.html.pages_for_tests import POLICY, gated, granted, split

PARTS = st.sampled_from(
    [
        "<!doctype html>", "<html>", "<head>", "</head>", "<body>", "</body>", "</html>", "<title>a<b</title>", "text ",
        "a < b > c", "&amp;", "&#47;", "\r\n", "\r", "\0", "é", "\ufeff", "<p class='x'>", "</p>", "<div a=\"<b>\">",
        "<!-- <script src=//tube.example> -->", "<!-->", "<!--", "-->", "<![CDATA[", "]]>", "<?php x >", "</ x>", "<",
        "</", "<s", '"', "'", ">", "<script src=//tube.example/a.js>", "if (a</b>)", "</script>", "<SCRIPT\r\nSRC=x>",
        "<script>", "<!--<script>", "<iframe src='https://tube.example/1'>", "</iframe>", "<img src=//tube.example/p>",
        "<img\fsrc=/own.png>",
        "<noscript>", "</noscript>", "</>", "<svg>", "</svg>", "<svg/>", "<style>", "</style>", "<desc>",
        "</desc>", "<foreignObject>", "<math>", "<mi>", "</math>", "<textarea>", "</textarea>",
        "<object data=//other.net>",
        "</object>", "<template>", "</template>", "<template data-purpose=marketing>", "<base href=//tube.example/>",
        "<link rel=stylesheet href=//tube.example/s.css>", "<embed src=x>", "<plaintext>",
        "<script>x('//www.googletagmanager.com/gtm.js')", "<br/>", "<b", " src=//x",
        "<xmp>", "</xmp>", "<video src=//tube.example/v>", "<source srcset='a 1x, //tube.example 2x'>", "</video>",
    ]
)  # fmt: skip


def private_kb() -> int:
    """Memory of this process that it wrote to, in kB."""
    found = re.search(r"Private_Dirty:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())
    assert found
    return int(found[1])


PAGES = st.lists(PARTS, max_size=25).map("".join)


@settings(max_examples=250, deadline=None)
@given(PAGES, st.lists(st.integers(0, 400), max_size=12), st.sampled_from(["utf-8", "latin-1"]))
def test_every_chunking_gives_the_same_bytes(page: str, cuts: list[int], encoding: str) -> None:
    raw = page.encode(encoding, "replace")
    options = {"head": b"<HEAD>", "body": b"<BODY>", "encoding": encoding, "placeholder": lambda vendor, url: b"<HELD>"}
    assert gated(raw, chunks=split(raw, cuts), **options) == gated(raw, **options)


@settings(max_examples=250, deadline=None)
@given(PAGES, PAGES, st.lists(st.integers(0, 800), max_size=24))
def test_a_tokenizer_that_is_renewed_on_the_way_changes_nothing(first: str, second: str, cuts: list[int]) -> None:
    raw = (first + second).encode()
    options = {"head": b"<HEAD>", "body": b"<BODY>", "placeholder": lambda vendor, url: b"<HELD>"}
    with mock.patch.object(markup, "RENEW_BYTES", 60):
        renewed = gated(raw, chunks=split(raw, cuts), **options)
    assert renewed == gated(raw, **options)


def test_a_page_that_streams_for_hours_is_not_kept_in_memory() -> None:
    gate = HtmlGate(policy=POLICY, allows=granted(), host="example.com")
    part = b"<p>" + b"x" * 16_000 + b"</p>"
    gate.feed(b"<!doctype html><html><head><title>x</title></head><body>")
    before = private_kb()
    for _ in range(4000):  # 64 MB
        assert gate.feed(part) == part
    assert private_kb() - before < 16_000


@settings(max_examples=150, deadline=None)
@given(PAGES, st.lists(st.integers(0, 400), max_size=4))
def test_a_page_whose_every_host_is_granted_passes_byte_for_byte(page: str, cuts: list[int]) -> None:
    page = (
        page.replace("other.net", "tube.example")
        .replace("//x", "/x")
        .replace("googletagmanager", "tube.example")
        .replace(" data-purpose=marketing", "")
    )
    for foreign in ("<svg>", "<math>"):  # an unclosed one may need an end: see the next test
        page = page.replace(foreign, "")
    raw = page.encode()
    policy_without_google = POLICY.parse(POLICY.source.replace('google_signals = ["', 'without_it = "x" # ["'))
    assert gated(raw, "marketing", "analytics", chunks=split(raw, cuts), policy=policy_without_google) == raw


def test_an_svg_that_is_closed_passes_byte_for_byte_and_one_that_may_be_open_is_ended_before_a_script() -> None:
    closed = "<div><svg><g><path/></path></g><title>x</title></svg></div><script src=/own.js></script>"
    assert gated(closed) == closed.encode()
    assert gated("<div><svg></div><script src=/own.js></script>") == (
        b"<div><svg></div><span></span><script src=/own.js></script>"
    )


@pytest.mark.parametrize(
    "start", ["plain text ", "<p>some text", "<script src=/own.js>text", "<style>a {} b", "<textarea>hello"]
)
def test_what_is_text_for_certain_leaves_with_its_chunk(start: str) -> None:
    gate = HtmlGate(policy=POLICY, allows=granted(), host="example.com")
    assert gate.feed(start.encode()) == start.encode()


def test_an_unfinished_tag_waits_for_its_end() -> None:
    gate = HtmlGate(policy=POLICY, allows=granted(), host="example.com")
    assert gate.feed(b"text <ifra") == b"text "
    assert gate.feed(b"me src=/own>inside") == b"<iframe src=/own>inside"
