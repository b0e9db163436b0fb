"""The code blocks of the documents: fenced ones with their language, indented ones with the language they look like."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
INDENTED = re.compile(r"(?<=\n\n)(?:    \S[^\n]*\n)(?:(?:    [^\n]*)?\n)*")
COMMANDS = ("consent", "analytics", "make", "uvicorn", "export", "pip", "python", "createdb", "pip-audit", "npm")


class Block(msgspec.Struct, frozen=True):
    where: str  # file:line
    language: str
    text: str


def blocks() -> Iterator[Block]:
    """Every block of README.md, SECURITY.md and docs/, the generated reference and decision records included."""
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("docs/reference/"):
            continue  # signatures and help texts, compared with the code by a test of their own
        for found in FENCE.finditer(text):
            yield Block(
                f"{name}:{text.count(chr(10), 0, found.start()) + 1}", found["language"], textwrap.dedent(found["text"])
            )
        bare = FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
        for found in INDENTED.finditer(bare):
            code = textwrap.dedent(found.group())
            yield Block(f"{name}:{bare.count(chr(10), 0, found.start()) + 1}", _looks_like(code), code)


def _looks_like(code: str) -> str:
    first = code.split()[0]
    if first in COMMANDS:
        return "sh"
    if first.startswith("["):
        return "toml"
    if first.startswith("{"):
        return "json"
    return "python" if first in ("from", "import") else "text"
