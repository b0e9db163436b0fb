"""The house rules: walls between packages, types, style, generated files, and words that have no place in a project."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
TEXTS = (".py", ".md", ".toml", ".sql", ".html", ".css", ".js", ".ts", ".json", ".sh", "")
LONGEST_FILE = 400
LONGEST_TEST = 500
OWED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error|pragma: no " r"cover|mark\.xfail")
UNEXPLAINED = re.compile(r"(type: ignore(\[[a-z-]+(, ?[a-z-]+)*\])?|noqa(: ?[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)?)\s*$")
HOME_OF_SOMEBODY = re.compile(r"(?<![A-Za-z0-9.])/(root|home/[a-z]+|Users/[a-z]+|work)/[A-Za-z.]")


def run(*command: str) -> str:
    """The output of a program of this environment; fails with it when the program finds something."""
    done = subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def tracked() -> list[Path]:
    """What belongs to the project: git's own list, or every file where this is no clone."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return [
            path for folder in ("consent_middleware", "analytics", "tests") for path in (ROOT / folder).rglob("*.py")
        ]
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines(suffixes: tuple[str, ...] = TEXTS) -> Iterator[tuple[str, str]]:
    """("file:line", text) of every tracked text file."""
    for path in tracked():
        if path.suffix not in suffixes or path.name.endswith((".lock", ".min.js")) or path.stat().st_size > 500_000:
            continue
        for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", text


def test_the_walls_between_the_packages_stand() -> None:
    run("lint-imports", "--no-cache")


def test_types_are_strict() -> None:
    run("mypy")


def test_the_code_is_linted_and_formatted() -> None:
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_the_schema_for_editors_is_the_one_of_the_structs() -> None:
    from consent_middleware import policy_schema

    shipped = ROOT / "consent_middleware" / "privacy.schema.json"
    before = shipped.read_text(encoding="utf-8")
    run("python", "-m", policy_schema.__name__)
    after = shipped.read_text(encoding="utf-8")
    shipped.write_text(before, encoding="utf-8")
    assert after == before, "run python -m consent_middleware.policy_schema"


def test_nothing_is_owed_in_silence() -> None:
    assert [place for place, text in lines((".py",)) if OWED.search(text)] == []


def test_every_silenced_check_says_why() -> None:
    assert [place for place, text in lines((".py",)) if UNEXPLAINED.search(text)] == []


def test_no_path_of_somebodys_machine_is_left() -> None:
    assert [f"{place} {text.strip()[:80]}" for place, text in lines() if HOME_OF_SOMEBODY.search(text)] == []


def test_files_stay_short() -> None:
    code = [path for path in tracked() if path.suffix == ".py"]
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    limits = {name: LONGEST_TEST if name.startswith("tests/") else LONGEST_FILE for name in long}
    assert {name: count for name, count in long.items() if count > limits[name]} == {}


def test_no_large_file_is_tracked() -> None:
    assert [path.name for path in tracked() if path.stat().st_size > 2_000_000] == []


@pytest.mark.parametrize(
    "page",
    sorted(
        str(p.relative_to(ROOT))
        for p in ROOT.glob("**/*.md")
        if not {".venv", "var", "node_modules", "mutants"} & set(p.parts)
    ),
)
def test_links_between_documents_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in broken if not (path.parent / target).exists()] == []


def test_every_decision_record_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if path.name not in index] == []
