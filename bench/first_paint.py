"""First paint of a page in Chromium with and without the middleware, in turn: on a fast and on a slow line.

Each load has an empty cache. The order changes from round to round, so that what else the machine does meets all. The
page without the middleware is loaded twice a round: what the second differs from the first is the noise.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
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
FIRST_BYTE = "performance.getEntriesByType('navigation')[0].responseStart"
PAGES = {"without": "without", "without, again": "without", "with the middleware": "with"}


class Load(msgspec.Struct, frozen=True):
    """One cold load, in ms since it began."""

    first_byte: float
    paint: float


def load(browser: Any, url: str, line: dict[str, float] | None) -> Load:
    context = browser.new_context()
    page = context.new_page()
    # The third party of the example is not running and answers nothing: neither page may wait for it.
    page.route("http://127.0.0.1:8001/**", lambda route: route.abort())
    if line is not None:
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", {"offline": False, **line})
    page.goto(url, wait_until="load")
    found = Load(float(page.evaluate(FIRST_BYTE)), float(page.evaluate(PAINTS)))
    context.close()
    return found


def compare(browser: Any, urls: dict[str, str], line: dict[str, float] | None) -> dict[str, list[Load]]:
    taken: dict[str, list[Load]] = {name: [] for name in PAGES}
    names = list(PAGES)
    for number in range(ROUNDS + WARM_UP):
        for name in names[number % 3 :] + names[: number % 3]:
            found = load(browser, urls[PAGES[name]], line)
            if number >= WARM_UP:
                taken[name].append(found)
    return taken


def row(name: str, loads: list[Load], beside: list[Load]) -> list[str]:
    """Medians of one page, and of its differences pair by pair to the page without the middleware."""
    bytes_, paints = [load.first_byte for load in loads], [load.paint for load in loads]
    cells = [f"{statistics.median(bytes_):.0f}", f"{statistics.median(paints):.0f}"]
    cells.append(f"{statistics.quantiles(paints, n=4)[0]:.0f}")
    if loads is beside:
        return [name, *cells, "", "", ""]
    pairs = list(zip(beside, loads, strict=True))
    late = [after.paint - before.paint for before, after in pairs]
    later = [(after.paint - after.first_byte) - (before.paint - before.first_byte) for before, after in pairs]
    early = [after.first_byte - before.first_byte for before, after in pairs]
    return [name, *cells, *(f"{statistics.median(each):+.0f}" for each in (late, early, later))]


def main() -> int:
    console = Console()
    chromium = find_chromium()
    if chromium is None:
        console.print("No Chromium: nothing was measured.")
        return 2
    from playwright.sync_api import sync_playwright

    table = Table(title=f"first contentful paint, ms, medians of {ROUNDS} cold loads each, in turn")
    table.add_column("line")
    for column in ("page", "first byte", "paint", "lower quartile", "pair by pair", "of it server", "of it browser"):
        table.add_column(column, justify="left" if column == "page" else "right")
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
                for name, loads in taken.items():
                    table.add_row(line, *row(name, loads, taken["without"]))
            browser.close()
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
