"""What an import does not need is not imported: a short import is mostly its start."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from analytics.deferred import deferred
from analytics.ingest import referrer

LINE = '203.0.113.9 - - [10/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "Mozilla/5.0"\n'
PROGRAM = """
import os, sys
from analytics.cli.imports import import_
import_.main([sys.argv[1], "--data-dir", sys.argv[2]], standalone_mode=False)
print(os.environ.get("JE_MALLOC_CONF"))
print(*sys.modules)
"""
HEAVY = {"pyarrow", "numpy", "starlette", "rich", "cryptography", "analytics.errands", "analytics.relay"}


def test_import_leaves_alone_what_only_other_commands_need(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(LINE)
    command = [sys.executable, "-c", PROGRAM, str(log), str(tmp_path / "var")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    said, allocator, modules = done.stdout.splitlines()
    assert allocator == "None", "what keeps a service small makes an import slow"
    assert "1 line of combined imported" in said
    assert not HEAVY & set(modules.split())


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules: `slow_one`, and `takes_it`, which imports it in passing."""
    (tmp_path / "slow_one").mkdir()
    (tmp_path / "slow_one" / "__init__.py").write_text("value = 7\n")
    (tmp_path / "slow_one" / "part.py").write_text("value = 8\n")
    (tmp_path / "takes_it.py").write_text("import slow_one\ndef ask(): return slow_one.value\n")
    (tmp_path / "takes_part.py").write_text("from slow_one.part import value\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("slow_one", "slow_one.part", "takes_it", "takes_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_deferred_module_comes_when_it_is_asked(slow: Path) -> None:
    with deferred("slow_one"):
        takes_it = importlib.import_module("takes_it")
    assert "slow_one" not in sys.modules
    assert takes_it.ask() == 7
    assert importlib.import_module("slow_one").__file__ == str(slow / "slow_one" / "__init__.py")


def test_who_needs_a_deferred_module_at_once_gets_it(slow: Path) -> None:
    with deferred("slow_one"):
        assert importlib.import_module("takes_part").value == 8
    assert sys.modules["slow_one"].value == 7


def test_a_module_that_is_there_stays(slow: Path) -> None:
    real = importlib.import_module("slow_one")
    with deferred("slow_one"):
        assert importlib.import_module("slow_one") is real
    assert sys.modules["slow_one"] is real


def test_the_list_of_suffixes_says_what_the_package_says() -> None:
    ours, theirs = referrer._suffixes(), PublicSuffixList()
    rules = [line.split()[0].lstrip("!*.") for line in Path(PSLFILE).read_text("utf-8").splitlines() if line.strip()]
    hosts = [f"a.b.{rule}" for rule in rules if rule != "//"] + ["google.xn--p1ai", "a.xn--55qx5d.cn", "localhost"]
    hosts += [host.encode("idna").decode() for host in hosts if not host.isascii()]
    assert [ours.privatesuffix(host) for host in hosts] == [theirs.privatesuffix(host) for host in hosts]
