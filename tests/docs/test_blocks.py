"""Every code block of the documents is run, or read by what would run it; what can not be is listed with a reason."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from consent_middleware.policy import PrivacyPolicy
from tests.docs.blocks import COMMANDS, ROOT, Block, blocks

ALL = list(blocks())
BASE = {
    "": "revision = 1\nupdated = 2026-11-20\n",
    "controller": '[controller]\nname = "My Site"\naddress = "1 High Street"\ncontact = "privacy@example.org"\n',
    "site": "[site]\n",
    "purpose": '[[purpose]]\nid = "necessary"\nrequired = true\n'
    '[[purpose]]\nid = "analytics"\n[[purpose]]\nid = "marketing"\n',
}
NOT_RUN = {
    "dockerfile": "there is no container runtime in the tests",
    "html": "markup that stands in a page; tests/html and tests/browser run its like",
    "css": "properties that tests/browser reads back from the banner",
    "js": "calls that tests/browser/test_pages_script.py makes in Chromium",
    "text": "diagrams, output and layouts: nothing to run",
    "": "diagrams, output and layouts: nothing to run",
}
# Programs of others in the documents' commands; their arguments are theirs.
OTHERS = {
    "export",
    "pip",
    "uvicorn",
    "python",
    "python3",
    "createdb",
    "createuser",
    "sqlite3",
    "npm",
    "pip-audit",
    "make",
    "cp",
    "curl",
    "for",
}


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


def named(block: Block) -> str:
    return block.where


def test_every_language_is_run_or_excused() -> None:
    run = {"python", "toml", "json", "sh", "ini", "sql", "nginx"}
    assert {block.language for block in ALL} <= run | set(NOT_RUN)
    assert len(of("sh")) > 15
    assert len(of("toml")) > 8


def test_every_python_block_is_executed(tmp_path: Path) -> None:
    complete = next(block for block in of("toml") if "[controller]" in block.text)
    (tmp_path / "privacy.toml").write_text(complete.text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_python"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CONSENT_SECRET_KEYS": "the key of this test"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("toml"), ids=named)
def test_every_policy_of_the_documents_loads(block: Block) -> None:
    text = block.text
    if "[controller]" not in text:
        there = set(tomllib.loads(text))
        text = "".join(part for name, part in BASE.items() if name not in there) + text
    PrivacyPolicy.parse(text)


@pytest.mark.parametrize("block", of("json"), ids=named)
def test_every_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of("ini"), ids=named)
def test_every_unit_has_its_sections_and_starts_something_of_ours(block: Block) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read_string(block.text)
    if "Timer" in parser.sections():
        assert parser.sections() == ["Timer", "Install"]
        return
    started_by_a_timer = parser.get("Service", "Type", fallback="") == "oneshot"
    assert parser.sections() == ["Unit", "Service", *([] if started_by_a_timer else ["Install"])]
    assert "WorkingDirectory" in parser["Service"], "the site's hooks lie there, and the module of the app"
    words = shlex.split(parser["Service"]["ExecStart"])
    assert Path(words[0]).name in ("uvicorn", "analytics")
    if Path(words[0]).name == "analytics":
        understood(["analytics", *words[1:]])


def lines_of(block: Block) -> list[str]:
    """The commands of a block: continuation lines joined, comments and pipes cut."""
    joined = block.text.replace("\\\n", " ")
    return [line.split(" #")[0].strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def understood(words: list[str]) -> None:
    """Fails when our own command line would refuse these words."""
    from analytics.cli import analytics
    from consent_middleware.cli import consent

    command: click.Command = {"consent": consent, "analytics": analytics}[words[0]]
    context = click.Context(command, info_name=words[0])
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(context, rest[0])
        assert found is not None, f"no such command: {' '.join(words)}"
        command, rest = found, rest[1:]
        context = click.Context(command, parent=context)
    if "--help" not in rest:
        command.make_parser(context).parse_args(args=list(rest))
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert all(word.partition("=")[0] in options for word in rest if re.match(r"--[a-z]", word)), " ".join(words)


@pytest.mark.parametrize("block", of("sh"), ids=named)
def test_every_command_of_the_documents_is_understood(block: Block) -> None:
    for line in lines_of(block):
        if re.search(r" [a-z0-9-]+ \| [a-z]+ \| ", line):
            continue  # a synopsis of alternatives, not a command
        for part in re.split(r"\s(?:\||&&)\s", line):
            part = re.sub(r"\s[<>]\s?\S+", "", part)
            words = shlex.split(part.replace("$(", "( ").replace("…", ""))
            if words[0] in ("consent", "analytics"):
                understood([word for word in words if word != "..."])
            else:
                assert words[0] in OTHERS or "=" in words[0], line
    assert COMMANDS


def test_every_statement_of_the_documents_is_parsed_by_the_engine() -> None:
    statements = [text for block in of("sql") for text in block.text.split(";") if text.strip()]
    program = (
        "import chdb, json, sys\n"
        "for statement in json.load(sys.stdin):\n"
        "    assert chdb.query('EXPLAIN AST ' + statement).bytes()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(statements), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
