"""`compiled.py build` makes the compiled wheel and its environment; `compiled.py run ARGUMENTS` starts Python in it.

The environment lies in build/compiled, holds the wheel alone, and takes everything else from .venv. Beside it stands a
copy of the tests, examples and benchmarks without the packages themselves, so that nothing finds the sources here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "compiled"
PYTHON = PLACE / "venv" / "bin" / "python"
LEFT_OUT = shutil.ignore_patterns(
    *(".*", "__pycache__", "build", "dist", "site", "var", "mutants", "consent_middleware", "analytics")
)
PROOF = "import sys; from consent_middleware import middleware as found; sys.exit(not found.__file__.endswith('.so'))"


def build() -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    print("Compiling (about a minute)", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(PLACE)],
        env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-4000:], file=sys.stderr)
        print("error: the wheel was not compiled (it needs a C compiler and Python's headers)", file=sys.stderr)
        return 2
    (wheel,) = PLACE.glob("*.whl")
    venv.create(PLACE / "venv", symlinks=True)
    (packages,) = (PLACE / "venv" / "lib").glob("python*/site-packages")
    shutil.unpack_archive(wheel, packages, "zip")
    # A plain line adds a folder to the path; the .pth file in it that leads to the sources is not looked at.
    (packages / "everything_else.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copytree(ROOT, PLACE / "tree", ignore=LEFT_OUT)
    if subprocess.run([str(PYTHON), "-c", PROOF], cwd=PLACE / "tree").returncode:
        print("error: the wheel's modules are not what is imported", file=sys.stderr)
        return 2
    print(f"Compiled: {wheel.relative_to(ROOT)}", file=sys.stderr)
    return 0


def main() -> int:
    match sys.argv[1:]:
        case ["build"]:
            return build()
        case ["run", *arguments] if arguments:
            return subprocess.run([str(PYTHON), *arguments], cwd=PLACE / "tree").returncode
    print("usage: compiled.py build | run ARGUMENTS", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
