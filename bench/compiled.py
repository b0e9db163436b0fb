"""The same sources interpreted and compiled, in turn: microseconds of CPU that each adds to a bare application.

`make compiled` makes the environment with the compiled wheel; without it nothing is measured.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.gate import added, cases, measure

TURNS = 5
ROUNDS = 20
PLACE = Path(__file__).resolve().parent.parent / "build" / "compiled"
PYTHON = PLACE / "venv" / "bin" / "python"
FIGURES = "--figures"


def figures(python: str | Path, tree: Path) -> list[float]:
    """What each case of bench/gate.py added in one process, medians."""
    command = [python, "-m", "bench.compiled", FIGURES]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    return [float(median) for median in json.loads(done.stdout)]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        if FIGURES in sys.argv:
            print(json.dumps([median for median, _ in added(asyncio.run(measure(Path(folder), ROUNDS)))]))
            return 0
        names = [(name, goal) for name, goal, *_ in cases(Path(folder))]
    if not PYTHON.exists():
        print("make compiled was not run: nothing was measured")
        return 0
    here, beside = Path(__file__).resolve().parent.parent, PLACE / "tree"
    turns = [(figures(sys.executable, here), figures(PYTHON, beside)) for _ in range(TURNS)]
    table = Table(title=f"CPU added to a bare application, us, medians of {TURNS} processes in turn")
    for column in ("case", "interpreted", "compiled", "times", "goal"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for place, (name, goal) in enumerate(names):
        if "capture" not in name and not name.startswith(("the same,", "never")):
            continue
        plain, compiled = (statistics.median(turn[kind][place] for turn in turns) for kind in (0, 1))
        table.add_row(name, f"{plain:.1f}", f"{compiled:.1f}", f"{plain / compiled:.2f}", goal)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
