"""A real PostgreSQL for the tests that ask for one, and every store in turn for those that ask for `store`."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_middleware.ledger import Ledger, open_ledger

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


class Cluster:
    """A PostgreSQL server of one test session, as an unprivileged user, on a socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        # The server refuses to run as root.
        user = _unprivileged() if os.geteuid() == 0 else None
        self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "consent", "--no-sync")

    def start(self) -> None:
        settings = f"-k {self.folder} -c listen_addresses= -c max_connections=60"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-o", settings, "-l", str(self.folder / "log"), "-w", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"ledger{next(self._numbers)}"
        self._run("createdb", "-h", str(self.folder), "-U", "consent", name)
        return f"postgresql:///{name}?host={self.folder}&user=consent"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [PROGRAMS / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            timeout=120,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')}")


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither the user postgres nor nobody exists here")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not (PROGRAMS / "initdb").exists():
        why = f"PostgreSQL 15 is not installed ({PROGRAMS} is missing): the ledger's PostgreSQL store was NOT tested"
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)
    # A socket's path has at most 107 bytes; pytest's own folders are longer, and closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))
    cluster = Cluster(folder)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the ledger lies: None (SQLite in the data folder), then a new database of a real PostgreSQL."""
    if request.param == "sqlite":
        return None
    new_database: str = request.getfixturevalue("cluster").new_database()
    return new_database


@pytest.fixture
def postgres(cluster: Cluster) -> str:
    """The URL of an empty database of a real PostgreSQL."""
    return cluster.new_database()


@pytest.fixture
def ledger(tmp_path: Path, url: str | None) -> Iterator[Ledger]:
    """A ledger on each store in turn."""
    opened = open_ledger(tmp_path, url)
    yield opened
    opened.close()
