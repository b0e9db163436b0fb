"""A site's folder in which the commands of the documents are run: a record, visits, a release, requests, logs."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

from click.testing import CliRunner

from analytics.anonymise.periods import Period
from analytics.anonymise.release import seal
from analytics.ingest.loader import load_pending
from analytics.store import open_store
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.register import Register
from examples.law_group.content import MEMBERS
from tests.docs.blocks import ROOT
from tests.ingest.rows import row, spool_rows
from tests.ingest.test_exports import GA4, MATOMO, PLAUSIBLE
from tests.pages.sites import TEXT, browser, post

LOG = b'192.0.2.7 - - [20/Nov/2026:10:11:12 +0000] "GET /a HTTP/1.1" 200 12 "-" "Mozilla/5.0"\n'
REDIRECT = re.compile(r"\s([<>])\s?(\S+)$")


class Stage:
    """The folder, and what stands in it for the names of the examples."""

    def __init__(self, folder: Path) -> None:
        self.folder, data = folder, folder / "var"
        (folder / "privacy.toml").write_text(TEXT, encoding="utf-8")
        visitor = browser(folder)
        with visitor:
            post(visitor, "accept")
            visitor.get("/")
            (folder / "consent-receipt.jsonld").write_bytes(visitor.get("/_consent/receipt").content)
        self._visits(data)
        (folder / "pages-and-screens.csv").write_text(GA4, encoding="utf-8")
        (folder / "pages.csv").write_text(MATOMO, encoding="utf-8")
        with zipfile.ZipFile(folder / "plausible-export.zip", "w") as archive:
            for name, text in PLAUSIBLE.items():
                archive.writestr(name, text)
        (folder / "access.log.gz").write_bytes(gzip.compress(LOG))
        (folder / "check.py").write_bytes((ROOT / "verify" / "check.py").read_bytes())
        (folder / "verify").symlink_to(ROOT / "verify")
        register = Register(data)
        for right in ["access"] * 7 + ["restriction", "correction", "complaint"]:
            register.open(right, MEMBERS[0].email, identity="operator: known")  # type: ignore[arg-type]  # a right each
        self.run("consent ledger seal")
        self.run("consent ledger heads > heads.jsonl")
        record = json.loads((folder / "consent-receipt.jsonld").read_bytes())
        self.names = self._names(json.dumps(record))

    def _visits(self, data: Path) -> None:
        """Visits of last week, sealed as if the delay were over; and some of today that wait in the spool."""
        now = dt.datetime.now(dt.UTC)
        then = now - dt.timedelta(days=7)
        spool_rows(data, [row(number, time_ms=int(then.timestamp() * 1000)) for number in range(8)])
        policy = PrivacyPolicy.load(self.folder / "privacy.toml")
        with open_store(None, data) as store:
            load_pending(store, data, policy)
            period, later = Period.of("week", then.date()), now + dt.timedelta(days=10)
            seal(store, policy, "example.org", period, data / "releases", now=later)
        spool_rows(data, [row(number) for number in range(8)])

    def _names(self, receipt: str) -> dict[str, str]:
        """What the documents write -> what it is called here."""
        record = re.search(r'"([A-Za-z0-9_-]{22})"', receipt)
        assert record, receipt
        keys = json.loads(self.run("consent keys list --format json")[1])
        said = self.run(f"consent record --record {record[1]} --format json")[1]
        notice = re.search(r'"cm:sha256":\s*"([0-9a-f]{64})', said)
        assert notice, said
        return {
            "zHcY_2WQ…": record[1], "b3xW…": record[1], "9eee662dd1d42e99": notice[1][:16], "--since 398": "--since 1",
            "PUBLIC-KEY": keys["signing"][0]["public"], "--site www.example.org": "--site example.org",
        }  # fmt: skip

    def here(self, line: str) -> str:
        for name, value in self.names.items():
            line = line.replace(name, value)
        return line

    def run(self, line: str) -> tuple[int, str, str]:
        """One line of a shell: pipes, one redirection, our commands in this process. Exit code, output, errors."""
        code, text, errors = 0, "", ""
        if line.startswith("consent ledger proof"):
            self.run("consent ledger seal")  # a worker does it once a day
        for part in line.split(" | "):
            source, target = text, None
            if found := REDIRECT.search(part):
                part = part[: found.start()]
                place = self.folder / found[2]
                source, target = (place.read_text(), None) if found[1] == "<" else (text, place)
            code, text, errors = self._program(shlex.split(part), source)
            if target is not None:
                target.write_text(text, encoding="utf-8")
            if code:
                break
        return code, text, errors

    def _program(self, words: list[str], given: str) -> tuple[int, str, str]:
        if words[0] in ("consent", "analytics"):
            from analytics.cli import analytics
            from consent_middleware.cli import consent

            group = {"consent": consent, "analytics": analytics}[words[0]]
            done = CliRunner().invoke(group, words[1:], input=given, standalone_mode=False)
            if done.exception is not None:
                return int(getattr(done.exception, "exit_code", 1)), done.output, str(done.exception)
            return done.return_value if isinstance(done.return_value, int) else 0, done.stdout, done.stderr
        place = ROOT if any(word.startswith("bench") for word in words) else self.folder  # where a checkout is needed
        program = [sys.executable if words[0].startswith("python") else words[0], *words[1:]]
        ran = subprocess.run(program, input=given, capture_output=True, text=True, cwd=place, timeout=60, check=False)
        return ran.returncode, ran.stdout, ran.stderr
