"""`make bench`: every benchmark of this folder in turn, one process each; `make bench ARGS="gate seal"` only those."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main(wanted: list[str]) -> int:
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        print(f"error: no such benchmark: {', '.join(unknown)} (there are: {', '.join(names)})", file=sys.stderr)
        return 2
    failed = []
    for name in wanted or names:
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=FOLDER.parent).returncode:
            failed.append(name)
    if failed:
        print(f"error: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
