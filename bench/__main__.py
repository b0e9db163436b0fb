"""`make bench`: run the benchmarks one after the other and write what they print into docs/benchmarks.md.

`make bench ARGS="gate html"` runs the named ones and leaves the others' results as they stand.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PACKAGES = ("starlette", "uvicorn", "granian", "itsdangerous", "turbohtml", "chdb", "clickhouse-connect", "opendp")
MAX_SECONDS = 3600
HEADER = """# Benchmarks

Written by `make bench`: each section is what one module of `bench/` printed, with its peers in the same run, on
the machine that is named. Shared machines are noisy: trust medians and ratios, not single times.
"""
SECTION = re.compile(r"^## (?P<name>[a-z_]+)\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def machine() -> str:
    """One line that describes where the figures come from."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)):
        model = found.group(1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Python {platform.python_version()}"


def versions() -> str:
    """The versions of what is measured, as far as it is installed."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def run(name: str) -> tuple[int, str]:
    """Exit code and output of one benchmark, shown while it runs."""
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1"}
    print(f"-- {name}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=MAX_SECONDS,
        env=environment,
        cwd=HERE.parent,
        check=False,
    )
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


def main() -> int:
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or known
    if unknown := [name for name in asked if name not in known]:
        print(f"error: no such benchmark: {', '.join(unknown)} (known: {', '.join(known)})", file=sys.stderr)
        return 2
    sections = {m["name"]: m.group() for m in SECTION.finditer(PAGE.read_text())} if PAGE.exists() else {}
    failed = []
    for name in asked:
        code, output = run(name)
        if code:
            failed.append(name)
            continue
        stamp = f"{dt.date.today()}, {machine()}; {versions()}."
        sections[name] = f"## {name}\n\n`make bench ARGS={name}` on {stamp}\n\n```text\n{output.rstrip()}\n```\n\n"
        PAGE.write_text(HEADER + "\n" + "".join(sections[key] for key in sorted(sections)).rstrip() + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
