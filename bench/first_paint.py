"""First paint of a page in Chromium with and without the middleware, in turn: on a fast and on a slow line.

Each load has an empty cache. The order changes from round to round, so that what else the machine does meets both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.demo.processes import Processes, answers, free_port
from examples.demo.visitors import CHROMIUM_ARGUMENTS, find_chromium

ROUNDS = 25
WARM_UP = 2
# Bytes a second and round trip in ms: what an ordinary telephone has on a middling day.
LINES: dict[str, dict[str, float] | None] = {
    "local": None,
    "1.6 Mbit/s, 150 ms": {"downloadThroughput": 200_000, "uploadThroughput": 94_000, "latency": 150},
}
PAINTS = """() => new Promise(done => new PerformanceObserver((list, observer) => {
    const found = list.getEntriesByName('first-contentful-paint')[0];
    if (found) { observer.disconnect(); done(found.startTime); }
}).observe({type: 'paint', buffered: true}))"""
LARGEST = """() => new Promise(done => new PerformanceObserver((list, observer) => {
    observer.disconnect(); done(list.getEntries().at(-1).startTime);
}).observe({type: 'largest-contentful-paint', buffered: true}))"""


def load(browser: Any, url: str, line: dict[str, float] | None) -> tuple[float, float]:
    """First and largest contentful paint of one cold load, in ms."""
    context = browser.new_context()
    page = context.new_page()
    # The third party of the example is not running and answers nothing: neither page may wait for it.
    page.route("http://127.0.0.1:8001/**", lambda route: route.abort())
    if line is not None:
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", {"offline": False, **line})
    page.goto(url, wait_until="load")
    paints = float(page.evaluate(PAINTS)), float(page.evaluate(LARGEST))
    context.close()
    return paints


def compare(browser: Any, urls: dict[str, str], line: dict[str, float] | None) -> dict[str, list[tuple[float, float]]]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
    names = list(urls)
    for number in range(ROUNDS + WARM_UP):
        for name in names if number % 2 else names[::-1]:
            paints = load(browser, urls[name], line)
            if number >= WARM_UP:
                taken[name].append(paints)
    return taken


def main() -> int:
    console = Console()
    chromium = find_chromium()
    if chromium is None:
        console.print("No Chromium: nothing was measured.")
        return 2
    from playwright.sync_api import sync_playwright

    table = Table(title=f"first and largest contentful paint, ms, medians of {ROUNDS} cold loads each, in turn")
    for column in ("line", "page", "first", "lower quartile", "largest", "pair by pair, first", "largest"):
        table.add_column(column, justify="left" if column in {"line", "page"} else "right")
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        environment = {"CONSENT_SECRET_KEYS": "a key of this benchmark " * 2, "CONSENT_DATA_DIR": folder}
        urls = {}
        for name, target in (("without", "examples.law_group.app:site"), ("with", "examples.law_group.app:app")):
            port = free_port(0)
            arguments = ("-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port))
            processes.start(name, *arguments, environment=environment)
            processes.wait_until(name, answers(f"http://127.0.0.1:{port}/static/site.css"), "starting")
            urls[name] = f"http://localhost:{port}/"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
            for line, conditions in LINES.items():
                taken = compare(browser, urls, conditions)
                pairs = list(zip(taken["without"], taken["with"], strict=True))
                for name, paints in taken.items():
                    first, largest = [paint[0] for paint in paints], [paint[1] for paint in paints]
                    differences = [""] * 2
                    if name == "with":
                        differences = [
                            f"{statistics.median(late[n] - early[n] for early, late in pairs):+.0f}" for n in (0, 1)
                        ]
                    table.add_row(
                        line,
                        f"{name} the middleware",
                        f"{statistics.median(first):.0f}",
                        f"{statistics.quantiles(first, n=4)[0]:.0f}",
                        f"{statistics.median(largest):.0f}",
                        *differences,
                    )
            browser.close()
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
