"""What we are made of: hashes of the lock, licences, a bill of materials, and no secret in the repository."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply", ROOT / "scripts" / "supply.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_locked_package_has_its_hashes(supply: ModuleType) -> None:
    text = supply.LOCK.read_text("utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    packages = [block for block in blocks if "==" in block.split("\n")[0]]
    assert {block.split("==")[0].lower().split("[")[0] for block in packages} >= set(supply.locked())
    assert len(packages) > 100
    assert [block.split("\n")[0] for block in packages if "--hash=sha256:" not in block] == []
    assert "://" not in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def test_every_dependency_has_a_licence_that_fits(supply: ModuleType) -> None:
    assert supply.unfit() == []


@pytest.mark.audit  # `make supply`, which continuous integration runs, does the same
def test_the_bill_of_materials_names_every_locked_package(supply: ModuleType, tmp_path: Path) -> None:
    assert supply.sbom(str(tmp_path / "sbom.json")) == 0
    document = json.loads((tmp_path / "sbom.json").read_text("utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    named = {part["name"].lower().replace("_", "-"): part for part in document["components"]}
    assert set(supply.locked()) <= set(named)
    assert all("purl" in part for part in named.values())


@pytest.mark.audit  # `make supply`, which continuous integration runs, does the same
def test_no_secret_is_in_the_repository(supply: ModuleType) -> None:
    assert supply.secrets() == []


def test_a_secret_would_be_noticed(supply: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setattr(supply, "ROOT", tmp_path)
    (tmp_path / "settings.py").write_text('aws_key = "AKIA' + "IOSFODNN7" + 'EXAMPLQ"\n')
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert [place.split(" ")[0] for place in supply.secrets()] == ["settings.py:1"]
