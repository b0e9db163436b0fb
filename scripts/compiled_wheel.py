"""A wheel whose request path is machine code: mypyc compiles the same sources, which lie beside it in the wheel.

Hatchling calls this only when `HATCH_BUILD_HOOK_ENABLE_CUSTOM=1` is set, and never for an editable installation: a
compiled file beside a source that somebody edits would go on running the old one. Needs a C compiler and Python's
headers. `make compiled` builds such a wheel and runs the gate's tests against it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "consent_middleware"
# What runs for each request. None of them may define a msgspec struct: mypyc drops what stands behind the base class.
MODULES = (
    *("answer", "bounded", "capture", "gate", "middleware", "open_segment", "opening", "reader", "request_cookies"),
    *("request_headers", "rows", "set_cookie", "spool", "token", "verdict"),
)


class CompiledWheel(BuildHookInterface):  # type: ignore[type-arg]  # the configuration's type says nothing here
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="compiled-wheel-"))
        made = compile_modules(Path(self.root), self._folder)
        build_data["force_include"].update(
            {str(path): path.relative_to(self._folder / "lib").as_posix() for path in made}
        )
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder)


def compile_modules(root: Path, folder: Path) -> list[Path]:
    """The extension modules, below `folder/lib`. Raises SystemExit with mypy's words, or setuptools' error."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    with contextlib.chdir(root):  # mypy and the compiler name files as seen from here
        settings = ["--config-file", "pyproject.toml", "--cache-dir", str(folder / "cache")]
        sources = [f"{PACKAGE}/{module}.py" for module in MODULES]
        extensions = mypycify(
            [*settings, *sources], opt_level="3", debug_level="0", group_name=PACKAGE, target_dir=str(folder / "c")
        )
        command = build_ext(Distribution({"name": PACKAGE, "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
        command.ensure_finalized()
        command.run()
    return sorted(path for path in (folder / "lib").rglob("*") if path.is_file())
