"""The commands of the documents, run for real in a prepared folder; what can't run here is listed with the reason."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from consent_middleware.rights import providers
from examples.demo.processes import free_port
from examples.law_group import rights as site_rights
from examples.law_group.records import SiteRecords
from tests.docs.stage import Stage
from tests.docs.test_blocks import lines_of, of
from tests.pages.sites import KEYS

# A beginning of a line -> why it is not run by this test.
ELSEWHERE = {
    "make ": "this is `make test`; tests/interop runs the demo",
    "pip install": "make's own set-up installs the locked packages",
    "export ": "set for all commands by this test",
    "uvicorn": "tests/interop starts it with the wrapped sites; runs for ever",
    "analytics serve": "tests/reports/test_service_process.py starts it; runs for ever",
    "analytics load --watch": "runs for ever; tests/docs/test_services.py loads into a server",
    "createdb": "tests/docs/test_services.py makes a database and the ledger on it",
    "createuser": "tests/docs/test_services.py makes the role that owns the database",
    "consent keys new --signing": "the folder has its keys; tests/ledger/test_commands.py makes those of a new one",
    "consent check https://www.example.org": "tests/inventory visits a site with Chromium",
}
# The synopsis of `consent records`: every word of each group of alternatives.
ALTERNATIVES = re.compile(r"(\S+(?: \| \S+)+)")
MAY_FIND = {"analytics doctor", "consent check --live"}


def commands() -> list[str]:
    """Every distinct line, in the order of the documents; a synopsis as all of its combinations."""
    found: dict[str, None] = {}
    for block in of("sh"):
        for line in lines_of(block):
            groups = ALTERNATIVES.findall(line) if re.search(r" [a-z0-9-]+ \| [a-z]+ \| ", line) else []
            for chosen in itertools.product(*(group.split(" | ") for group in groups)):
                made = line
                for group, word in zip(groups, chosen, strict=True):
                    made = made.replace(group, word, 1)
                found[" ".join(made.split())] = None
    return list(found)


@pytest.fixture
def mailbox() -> Iterator[Controller]:
    """A mail server that takes every letter."""
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(0))
    controller.start()
    yield controller
    controller.stop()


def test_every_command_of_the_documents_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mailbox: Controller
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("POLICY", "privacy.toml"), ("DATA_DIR", "var"), ("SECRET_KEYS", KEYS[0])):
        monkeypatch.setenv(f"CONSENT_{name}", value)
    # The hooks are imported once in a process: tables that an earlier test left in them are not this folder's.
    monkeypatch.setattr(site_rights, "records", SiteRecords(tmp_path / "var" / "site" / "records.sqlite3"))
    tables = {"members": site_rights.Members(), "enquiries": site_rights.Enquiries()}
    monkeypatch.setattr(providers, "_PROVIDERS", {**tables, "newsletter": site_rights.Newsletter()})
    stage = Stage(tmp_path)
    stage.names["smtps://user:password@mail.example.org"] = f"smtp://127.0.0.1:{mailbox.port}"
    failed, ran = [], 0
    for line in commands():
        if line.startswith(tuple(ELSEWHERE)):
            continue
        code, out, errors = stage.run(stage.here(line))
        ran += 1
        if code not in ({0, 1} if line in MAY_FIND else {0}):
            failed.append(f"{line}\n  exit {code}: {errors.strip()} {out.strip()[-300:]}")
    assert not failed, "\n".join(failed)
    assert ran > 40
