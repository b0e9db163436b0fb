"""What a visitor downloads for the banner (brotli), beside its peers.

Peers come from npm, at versions whose files were read; without npm they are left out and the table says so.
"""

from __future__ import annotations

import sys

import brotli
from rich.console import Console
from rich.table import Table

from bench._npm import package
from consent_middleware.pages.assets import asset

BANNER_LIMIT, STATISTICS_LIMIT = 5_000, 2_000
# Package, version, and the files that a page loads.
PEERS = (
    ("vanilla-cookieconsent", "3.1.0", ("dist/cookieconsent.umd.js", "dist/cookieconsent.css")),
    ("orejime", "3.2.1", ("dist/orejime-standard-en.js", "dist/orejime-standard.css")),
    ("klaro", "0.7.22", ("dist/klaro.js",)),
)


def compressed(body: bytes) -> int:
    """Bytes after brotli at quality 11, which servers keep ready for files that never change."""
    return len(brotli.compress(body, quality=11))


def sizes(console: Console) -> bool:
    """The table of sizes; whether ours are within their limits."""
    table = Table(title="script and style, bytes")
    for column in ("what", "version", "plain", "brotli -q 11", "limit"):
        table.add_column(column, justify="right" if column not in {"what", "version"} else "left")
    parts = {name: asset(name)[0] for name in ("banner.js", "banner.css", "statistics.js")}
    ours = compressed(parts["banner.js"]) + compressed(parts["banner.css"])
    counted = compressed(parts["statistics.js"])
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
            f"{sum(map(compressed, bodies)):,}",
            " + ".join(p.name for p in found),
        )
    console.print(table)
    return ours <= BANNER_LIMIT and counted <= STATISTICS_LIMIT


def main() -> int:
    return 0 if sizes(Console()) else 1


if __name__ == "__main__":
    sys.exit(main())
