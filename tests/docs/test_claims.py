"""What the documents claim: every named test exists, every command of the README is a target or a command."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[`(test_\w+)`\]\(([^)\s]+\.py)\)")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_test_that_a_document_names_exists(page: str) -> None:
    path = ROOT / page
    named = LINK.findall(path.read_text(encoding="utf-8"))
    missing = [name for name, file in named if name not in functions_of((path.parent / file).resolve())]
    assert missing == []


def test_every_threat_and_every_fault_has_its_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| fault"))
    ]
    assert len(rows) > 50
    assert [row for row in rows if not LINK.search(row)] == []
    parties = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(parties) == 10


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        named = set(re.findall(r"(?:`|^    )make ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, path.name


def test_every_claim_of_the_readme_has_a_command_that_runs_something() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## What it does")[2].partition("\n![")[0]
    rows = [line.strip("| ").rsplit(" | ", 1) for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    known = {name for path in (ROOT / "tests").rglob("test_*.py") for name in functions_of(path)}
    for claim, shown in rows:
        names = re.findall(r"`(test_\w+)`", shown)
        assert names or "make " in shown or "](" in shown, claim
        assert [name for name in names if not any(found.startswith(name) for found in known)] == [], claim


def test_every_fault_that_survived_has_its_sort() -> None:
    text = (ROOT / "docs" / "mutants.md").read_text(encoding="utf-8")
    whole = re.search(r"Of ([\d,]+) faults ([\d,]+) are noticed and (\d+) are not", text)
    assert whole
    faults, noticed, left = (int(number.replace(",", "")) for number in whole.groups())
    rooms = [(int(a), int(b)) for a, b in re.findall(r"^\| \w+ \| (\d+) \| (\d+) \|$", text, re.MULTILINE)]
    assert len(rooms) == 5
    assert (sum(a for a, _ in rooms), sum(b for _, b in rooms)) == (faults, left) == (noticed + left, left)
    assert sum(map(int, re.findall(r"^\| .* \| (\d+) \| [a-z, ]+ \|$", text, re.MULTILINE))) == left


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_no_table_has_a_row_of_another_width(page: str) -> None:
    """A bar inside of code ends the cell, too, unless it is escaped: the rest of the row is not shown."""
    width, fenced = 0, False
    for line in (ROOT / page).read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        if fenced or not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line.strip()))
        width = width or cells
        assert cells == width, line
