"""`compiled.py build` makes the compiled wheel and its environment; `compiled.py run ARGUMENTS` starts Python in it.

`compiled.py wheels` makes the wheels of a release: the pure one and, with a C compiler, the one of this platform.

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
DIST = ROOT / "dist"
PROOF = "import sys; from consent_middleware import middleware as found; sys.exit(not found.__file__.endswith('.so'))"


def build() -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    if not wheel_in(PLACE, compiled=True):
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


def wheel_in(folder: Path, *, compiled: bool) -> bool:
    """Build one wheel; what went wrong is printed."""
    if compiled:
        print("Compiling (about a minute)", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": str(int(compiled))},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-4000:], file=sys.stderr)
    return done.returncode == 0


def wheels() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    if not wheel_in(DIST, compiled=False):
        return 2
    if not wheel_in(DIST, compiled=True):
        print("Without a C compiler and Python's headers there is only the pure wheel.", file=sys.stderr)
    for wheel in sorted(DIST.glob("*.whl")):
        print(wheel.relative_to(ROOT))
    return 0


def main() -> int:
    match sys.argv[1:]:
        case ["wheels"]:
            return wheels()
        case ["build"]:
            return build()
        case ["run", *arguments] if arguments:
            return subprocess.run([str(PYTHON), *arguments], cwd=PLACE / "tree").returncode
    print("usage: compiled.py build | wheels | run ARGUMENTS", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
