"""What the gate lets out, parsed by a whole HTML parser: nothing from a vendor without consent is active."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import turbohtml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.html.pages_for_tests import gated, split

THIRD = "tube.example"
PARTS = st.sampled_from(
    [
        "<!doctype html>", "<html>", "<head>", "</head>", "<body>", "</body>", "<title>", "</title>", "text", "<p>",
        "</p>", "<div>", "</div>", "<table>", "<tr>", "<td>", "</table>", "<ul><li>", "<a href=//tube.example/>",
        "</a>", "<form>", "</form>", "<!-- c -->", "<!--", "-->", "<svg>", "</svg>", "<desc>", "</desc>",
        "<foreignObject>", "</foreignObject>", "<math>", "</math>", "<mi>", "</mi>",
        "<annotation-xml encoding=text/html>", "<style>", "</style>", "<textarea>", "</textarea>", "<noscript>",
        "</noscript>", "<template>", "</template>", "<![CDATA[", "]]>", "<br>", "</br>", "<font color=red>", "<b>",
        '<a title="', '">', "<xmp>", "</xmp>", "<script src=//tube.example/a.js>", "<script>a<b", "</script>",
        "<iframe src=https://www.tube.example/1>", "</iframe>", "<img src=//tube.example/p>",
        "<IMG SRCSET='/a 1x, //tube.example/b 2x'>", "<embed src=//tube.example>", "<object data=//tube.example>",
        "</object>", "<link rel=stylesheet href=//tube.example/s.css>", "<link rel=preconnect href=//tube.example>",
        "<script href=//tube.example/a.js />", "<image href=//tube.example/i>",
        "<use xlink:href=//tube.example/u />", "<video poster=//tube.example/v>", "</video>",
        "<source src=//tube.example/v>", "<input type=image src=//tube.example>", "<select>", "</select>",
        "<option>", "<caption>", "<colgroup>", "</tr>", "</>",
    ]
)  # fmt: skip
PAGES = st.lists(PARTS, max_size=14).map("".join)
LOADING = {
    "script": ("src",), "iframe": ("src",), "img": ("src", "srcset"), "embed": ("src",), "object": ("data",),
    "link": ("href",), "video": ("src", "poster"), "audio": ("src",), "source": ("src", "srcset"), "input": ("src",),
}  # fmt: skip
SVG_LOADING = dict.fromkeys(("script", "image", "use", "feimage"), ("href", "xlink:href"))


def active(node: turbohtml.Node) -> Iterator[turbohtml.Element]:
    """Elements that a browser would run or fetch: all but those inside a template."""
    for child in node.children:
        if isinstance(child, turbohtml.Element):
            yield child
            if not (child.tag == "template" and child.namespace == turbohtml.Namespace.HTML):
                yield from active(child)


def loaded_from(page: bytes) -> list[str]:
    found = []
    for element in active(turbohtml.parse(page.decode("latin-1"))):
        kind = str(element.namespace).lower()
        names = SVG_LOADING if "svg" in kind else {} if "math" in kind else LOADING
        values = [element.attrs.get(name) or "" for name in names.get(element.tag.lower(), ())]
        if any(THIRD in str(value) for value in values):
            found.append(f"{kind} {element.tag} {values}")
    return found


def judge(page: str, cuts: list[int]) -> None:
    raw = page.encode()
    assert loaded_from(gated(raw, chunks=split(raw, cuts))) == []


ANY_PAGE = given(PAGES, st.lists(st.integers(0, 300), max_size=3))


@pytest.mark.parametrize(
    "page",
    [
        "<svg><img src=//tube.example/p>",
        "<math><mi></mi><embed src=//tube.example/e>",
        "<object data=//tube.example></template><iframe src=https://www.tube.example/1>",
        "<math><script src=//tube.example/a.js><head><video poster=//tube.example/v>",
        "<svg><annotation-xml encoding=text/html><img src=//tube.example/p>",
        "<div><svg></div><iframe src=https://www.tube.example/1>",
        "<use xlink:href=//tube.example/u /><noscript></template><video poster=//tube.example/v>",
        "<object data=//tube.example><noscript></TEMPLATE\t><img src=//tube.example/p></noscript></object>",
        "<use xlink:href=//tube.example/u /><math></a><video poster=//tube.example/v>",
        "</></><div></><video poster=//tube.example/v></video>",
        "<svg><form><desc></form><script href=//tube.example/a.js />",
        "<svg><g><desc><b></b></g><image href=//tube.example/i>",
        "<svg><desc><p>a<p>b</p></svg><img src=//tube.example/p>",
        "<div><math></div><![CDATA[<!doctype html><iframe src=https://www.tube.example/1>",
    ],
)
def test_what_generated_pages_once_found_stays_found(page: str) -> None:
    judge(page, [])


@settings(max_examples=500, deadline=None)
@ANY_PAGE
def test_a_whole_parser_finds_nothing_active_from_a_vendor_without_consent(page: str, cuts: list[int]) -> None:
    judge(page, cuts)


@pytest.mark.audit
@settings(max_examples=20_000, deadline=None)
@ANY_PAGE
def test_a_whole_parser_finds_nothing_active_in_many_pages(page: str, cuts: list[int]) -> None:
    judge(page, cuts)
