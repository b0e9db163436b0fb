"""Runs Starlette's own test suite twice, with every application wrapped and without, and compares test by test.

    python -m tests.interop.starlette_suite [names of test files]

The suite is taken from the source distribution of the installed version, into a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PLUGIN = Path(__file__).with_name("wrap_every_app.py")


class Unavailable(Exception):
    """The suite can't be had here; the message says why."""


class Comparison(NamedTuple):
    plain: dict[str, str]  # test -> passed, failed, skipped
    wrapped: dict[str, str]

    @property
    def differences(self) -> list[str]:
        names = sorted(self.plain.keys() | self.wrapped.keys())
        return [
            f"{name}: {self.plain.get(name, 'missing')} without, {self.wrapped.get(name, 'missing')} with"
            for name in names
            if self.plain.get(name) != self.wrapped.get(name)
        ]

    def passed(self) -> tuple[int, int]:
        return tuple(sum(result == "passed" for result in run.values()) for run in self)  # type: ignore[return-value]  # two


def fetch_suite(folder: Path) -> Path:
    """The unpacked tests, alone: the installed package is what they import. Raises Unavailable."""
    wanted = f"starlette=={version('starlette')}"
    pip = [sys.executable, "-m", "pip"] if find_spec("pip") else [shutil.which("pip3") or shutil.which("pip") or ""]
    if not pip[0]:
        raise Unavailable("pip is needed to fetch the source distribution of Starlette")
    command = [*pip, "download", "--quiet", "--no-deps", "--no-binary", "starlette", "--dest", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    archives = list(folder.glob("starlette-*.tar.gz"))
    if not archives:
        raise Unavailable(f"{wanted} could not be fetched: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[0]) as archive:
        # `filter` came with Python 3.11.4; an older interpreter takes the archive as it is.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    unpacked = archives[0].with_name(archives[0].name.removesuffix(".tar.gz"))
    shutil.rmtree(unpacked / "starlette")
    return unpacked


def run_suite(suite: Path, files: list[str], *, wrapped: bool) -> dict[str, str]:
    """The result of every test."""
    report = suite / f"report-{wrapped}.xml"
    # Its folder of tests has the name of ours: the plugin is copied beside it, and this repository stays off the path.
    plugin = suite / "plugin"
    plugin.mkdir(exist_ok=True)
    shutil.copy(PLUGIN, plugin)
    selection = [] if find_spec("trio") else ["-k", "not trio"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "--continue-on-collection-errors",
    ]
    command += selection
    command += ["-p", PLUGIN.stem] if wrapped else []
    command += ["--junitxml", str(report), *(files or ["tests"])]
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, timeout=3000)
    if not report.exists():
        raise RuntimeError(f"the suite did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        name = f"{case.get('classname')}::{case.get('name')}"
        results[name] = "passed" if not kinds else "skipped" if kinds == {"skipped"} else "failed"
    return results


def compare(files: list[str]) -> Comparison:
    with tempfile.TemporaryDirectory() as name:
        suite = fetch_suite(Path(name))
        return Comparison(run_suite(suite, files, wrapped=False), run_suite(suite, files, wrapped=True))


def main() -> int:
    comparison = compare(sys.argv[1:])
    plain, wrapped = comparison.passed()
    print(f"Starlette {version('starlette')}: {plain} of {len(comparison.plain)} pass without, {wrapped} with")
    for line in comparison.differences:
        print(line)
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
