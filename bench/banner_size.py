"""What a visitor downloads for the banner (brotli), beside its peers, and what it does to the first paint of a page.

Peers come from npm, at versions whose files were read; without npm they are left out and the table says so.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench._npm import package
from consent_middleware.pages.assets import asset
from examples.demo.processes import Processes, answers, free_port
from examples.demo.visitors import CHROMIUM_ARGUMENTS, find_chromium

BANNER_LIMIT, STATISTICS_LIMIT = 5_000, 2_000
ROUNDS = 25
# Package, version, and the files that a page loads.
PEERS = (
    ("vanilla-cookieconsent", "3.1.0", ("dist/cookieconsent.umd.js", "dist/cookieconsent.css")),
    ("orejime", "3.2.1", ("dist/orejime-standard-en.js", "dist/orejime-standard.css")),
    ("klaro", "0.7.22", ("dist/klaro.js",)),
)


def brotli(body: bytes) -> int:
    """Bytes after `brotli -q 11`, which servers keep ready for files that never change."""
    done = subprocess.run(["brotli", "-q", "11", "-c"], input=body, stdout=subprocess.PIPE, check=True)
    return len(done.stdout)


def sizes(console: Console) -> bool:
    """The table of sizes; whether ours are within their limits."""
    table = Table(title="script and style, bytes")
    for column in ("what", "version", "plain", "brotli -q 11", "limit"):
        table.add_column(column, justify="right" if column not in {"what", "version"} else "left")
    parts = {name: asset(name)[0] for name in ("banner.js", "banner.css", "statistics.js")}
    ours = brotli(parts["banner.js"]) + brotli(parts["banner.css"])
    counted = brotli(parts["statistics.js"])
    plain = len(parts["banner.js"]) + len(parts["banner.css"])
    table.add_row("ours: banner.js + banner.css", "", f"{plain:,}", f"{ours:,}", f"{BANNER_LIMIT:,}")
    table.add_row(
        "ours: statistics.js (after consent)",
        "",
        f"{len(parts['statistics.js']):,}",
        f"{counted:,}",
        f"{STATISTICS_LIMIT:,}",
    )
    for name, version, files in PEERS:
        folder = package(name, version)
        if folder is None:
            table.add_row(name, "not measured: no npm or no network", "", "", "")
            continue
        found = [folder / "package" / file for file in files]
        if missing := [path.name for path in found if not path.exists()]:
            table.add_row(name, f"not measured: no {missing[0]}", "", "", "")
            continue
        bodies = [path.read_bytes() for path in found]
        table.add_row(
            name,
            version,
            f"{sum(map(len, bodies)):,}",
            f"{sum(map(brotli, bodies)):,}",
            " + ".join(p.name for p in found),
        )
    console.print(table)
    return ours <= BANNER_LIMIT and counted <= STATISTICS_LIMIT


def first_paints(console: Console, chromium: str) -> None:
    """First contentful paint of the example's first page with and without the middleware, in turn, cold cache each."""
    from playwright.sync_api import sync_playwright

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
            taken: dict[str, list[float]] = {"without": [], "with": []}
            for number in range(ROUNDS + 2):
                for name in ("without", "with") if number % 2 else ("with", "without"):
                    paint = first_paint(browser, urls[name])
                    if number >= 2:  # the first rounds warm the servers up
                        taken[name].append(paint)
            browser.close()
    table = Table(title=f"first contentful paint, ms, {ROUNDS} cold loads each, in turn")
    for column in ("page", "lower quartile", "median", "lowest", "highest"):
        table.add_column(column, justify="left" if column == "page" else "right")
    for name, times in taken.items():
        quarter, middle, _ = statistics.quantiles(times, n=4)
        table.add_row(
            f"{name} the middleware", *(f"{value:.0f}" for value in (quarter, middle, min(times), max(times)))
        )
    console.print(table)
    differences = [late - early for early, late in zip(taken["without"], taken["with"], strict=True)]
    console.print(f"Median of the differences pair by pair: {statistics.median(differences):+.0f} ms.")


def first_paint(browser: Any, url: str) -> float:
    context = browser.new_context()
    page = context.new_page()
    # The third party of the example is not running and answers nothing: neither page may wait for it.
    page.route("http://127.0.0.1:8001/**", lambda route: route.abort())
    page.goto(url, wait_until="load")
    paint = page.evaluate(
        """() => new Promise(done => new PerformanceObserver((list, observer) => {
            const found = list.getEntriesByName('first-contentful-paint')[0];
            if (found) { observer.disconnect(); done(found.startTime); }
        }).observe({type: 'paint', buffered: true}))"""
    )
    context.close()
    return float(paint)


def main() -> int:
    console = Console()
    if shutil.which("brotli") is None:
        console.print("brotli is not installed: apt install brotli", markup=False)
        return 2
    within = sizes(console)
    chromium = find_chromium()
    if chromium is None:
        console.print("No Chromium: the first paint was not measured.")
    else:
        first_paints(console, chromium)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
