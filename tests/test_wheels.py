"""Wheels are pure Python unless somebody asks for a compiled one; that one does what the sources do."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.compiled_wheel import MODULES, PACKAGE

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_is_pure_python_unless_asked_otherwise(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_that_is_compiled_defines_a_struct(module: str) -> None:
    """The compiler ignores `frozen`, `gc` and the other words behind the base class, and says nothing."""
    tree = ast.parse((ROOT / PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    bases = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    assert [base for base in bases if base.endswith("Struct")] == []


def test_no_compiled_file_lies_beside_a_source() -> None:
    """It would go on running what the source said when it was compiled."""
    assert [path.name for path in (ROOT / PACKAGE).rglob("*.so")] == []


@pytest.mark.audit
@pytest.mark.timeout(600)
def test_pip_takes_the_compiled_wheel_of_a_release_where_it_fits(tmp_path: Path) -> None:
    subprocess.run(["make", "wheels"], cwd=ROOT, check=True, capture_output=True, timeout=500)
    pip = [sys.executable, "-m", "pip", "download", "--no-index", "--no-deps", "--find-links", str(ROOT / "dist")]
    subprocess.run([*pip, "-d", str(tmp_path / "here"), "consent-middleware"], check=True, capture_output=True)
    elsewhere = ["--platform", "win_amd64", "--only-binary", ":all:", "-d", str(tmp_path / "elsewhere")]
    subprocess.run([*pip, *elsewhere, "consent-middleware"], check=True, capture_output=True)
    assert not [path for path in (tmp_path / "here").iterdir() if "none-any" in path.name]
    assert [path for path in (tmp_path / "elsewhere").iterdir() if "none-any" in path.name]


@pytest.mark.audit
@pytest.mark.timeout(3600)
def test_the_compiled_wheel_does_what_the_sources_do() -> None:
    done = subprocess.run(["make", "compiled"], cwd=ROOT, capture_output=True, text=True, timeout=3500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
