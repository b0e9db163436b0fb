"""The HTML gate on a page of 118 kB, beside lol-html (Cloudflare's rewriter, in Rust) doing the same holding.

CPU milliseconds per page, median and best of many rounds run in turn; and how many bytes in before the first leaves.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import lolhtml
from rich.console import Console
from rich.table import Table

from consent_middleware.html import HtmlGate
from consent_middleware.policy import PrivacyPolicy

ROUNDS = 60
CHUNK = 16_384
POLICY = """
revision = 1
updated = 2026-11-20
controller = { name = "Example", contact = "privacy@example.com" }
site = { hosts = ["example.com"] }
[[purpose]]
id = "marketing"
google_signals = ["ad_storage"]
[[vendor]]
name = "Tube"
purpose = "marketing"
hosts = ["tube.example"]
country = "DE"
"""
THIRD = "script[src], iframe[src], img[src], link[href], object[data], embed[src]"


def page(size: int = 118_000) -> bytes:
    """A news page: navigation, cards with own images, an inline script, and a dozen third-party elements."""
    head = (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>News</title>"
        + "".join(f'<link rel="stylesheet" href="/static/{n}.css"><meta name="k{n}" content="v">' for n in range(12))
        + '<script src="https://tube.example/tag.js" async></script>'
        + '<script>const a = 1 < 2; let b = "</b>";</script></head><body>'
    )
    card = (
        '<article class="card card--wide" id="card-{n}" data-kind="news"><a href="/news/{n}" class="card__link">'
        '<img src="/img/{n}.jpg" alt="A picture" width="320" height="180" loading="lazy"></a>'
        '<h2 class="card__title"><a href="/news/{n}">Title &amp; words {n}</a></h2>'
        '<p class="card__text">Some words of <em>text</em> about it, and a <a href="/topic/{n}">topic</a>.</p>'
        '<ul class="tags"><li><a href="/t/a">a</a></li><li><a href="/t/b">b</a></li></ul></article>\n'
    )
    frame = (
        '<iframe src="https://tube.example/embed/{n}" title="Film"></iframe>'
        '<img src="//tube.example/p?{n}" width=1 height=1>'
    )
    parts, length, number = [head], len(head), 0
    while length < size - 40:
        part = card.format(n=number) + (frame.format(n=number) if number % 25 == 0 else "")
        parts.append(part)
        length += len(part)
        number += 1
    return ("".join(parts) + "</body></html>").encode()


def chunks(raw: bytes) -> list[bytes]:
    return [raw[start : start + CHUNK] for start in range(0, len(raw), CHUNK)]


def ours(policy: PrivacyPolicy, parts: list[bytes]) -> bytes:
    gate = HtmlGate(
        policy=policy, allows=lambda purpose: purpose == "necessary", host="example.com", head=b"<!--h-->",
        body=b"<!--b-->", placeholder=lambda vendor, url: b"<p>held</p>", encoding="utf-8",
    )  # fmt: skip
    return b"".join([*(gate.feed(part) for part in parts), gate.close()])


class Held:
    """lol-html's handler: wraps what comes from the vendor, as ours does."""

    def element(self, element: lolhtml.Element) -> None:
        url = next((value for name in ("src", "href", "data") if (value := element.get_attribute(name))), "")
        if "tube.example" in url:
            element.before("<template data-purpose=marketing>", lolhtml.ContentType.HTML)
            element.after("</template>", lolhtml.ContentType.HTML)


class Append:
    def __init__(self, html: str) -> None:
        self.html = html

    def element(self, element: lolhtml.Element) -> None:
        element.append(self.html, lolhtml.ContentType.HTML)


def peer(parts: list[bytes]) -> bytes:
    out = io.BytesIO()
    rewriter = lolhtml.HTMLRewriter(lambda data: out.write(bytes(data)))
    rewriter.on(THIRD, Held())
    rewriter.on("head", Append("<!--h-->"))
    rewriter.on("body", Append("<!--b-->"))
    for part in parts:
        rewriter.write(part)
    rewriter.end()
    return out.getvalue()


def first_bytes_after(policy: PrivacyPolicy, raw: bytes) -> int:
    """How many bytes of the page have to arrive before the first byte leaves."""
    gate = HtmlGate(policy=policy, allows=lambda purpose: False, host="example.com")
    return next(n + 1 for n in range(len(raw)) if gate.feed(raw[n : n + 1]))


def milliseconds(run: Callable[[], object]) -> float:
    started = time.process_time_ns()
    run()
    return (time.process_time_ns() - started) / 1e6


def main() -> None:
    policy, raw = PrivacyPolicy.parse(POLICY), page()
    parts = chunks(raw)
    runs: dict[str, Callable[[], object]] = {
        "consent_middleware.html": lambda: ours(policy, parts),
        "python-lolhtml": lambda: peer(parts),
        "nothing (control)": lambda: b"".join(parts),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(milliseconds(run))
    table = Table(title=f"HTML gate: {len(raw):,} bytes in chunks of {CHUNK:,}, {ROUNDS} rounds in turn, CPU ms")
    for column in ("", "median", "best", "bound"):
        table.add_column(column, justify="left" if not column else "right")
    for name, values in times.items():
        bound = "5.0" if name.startswith("consent") else ""
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", bound)
    console = Console()
    console.print(table)
    console.print(f"first byte out after {first_bytes_after(policy, raw)} bytes in (the doctype has 15)")


if __name__ == "__main__":
    main()
