"""`make demo`: see the package. `--once` ends by itself; otherwise site and dashboard stay up until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from examples.demo.chain import Chain
from examples.demo.processes import ROOT, DemoError, Processes


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="The whole chain, live.")
    parser.add_argument("--once", action="store_true", help="end when everything was shown")
    parser.add_argument("--lines", type=int, default=100_000, help="lines of the generated access log")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "demo", help="where it keeps its data (emptied)")
    chosen = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    signal.signal(signal.SIGTERM, _stop)
    started = time.monotonic()
    try:
        with Processes(chosen.folder / "logs") as processes:
            chain = Chain(processes, chosen.folder, console)
            agreed = chain.run(chosen.lines)
            console.print(f"\nTold in {time.monotonic() - started:.0f} s.")
            if agreed:
                chain.show_addresses()
                if chosen.once:
                    console.print("Both are up, and end now because of --once; without it they stay until Ctrl-C.")
                else:
                    console.print("Ctrl-C ends it.")
                    threading.Event().wait()
            return 0 if agreed else 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 0 if not chosen.once else 130
    except DemoError as problem:
        Console(stderr=True).print(f"error: {problem}", markup=False)
        return 2


if __name__ == "__main__":
    sys.exit(main())
