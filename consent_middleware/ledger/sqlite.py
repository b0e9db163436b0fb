"""The ledger on SQLite: WAL, synchronous FULL, files for their owner only."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from consent_middleware.ledger.database import DatabaseError, Parameters, Row, migrations, statement

BUSY_SECONDS = 2.0
MAX_WRITERS = 4096


class SqliteDatabase:
    """One file. `folder` names the migrations that make it."""

    def __init__(self, path: Path, folder: str, *, read_only: bool = False) -> None:
        self.path = path
        self._lock: int | None = None
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # SQLite gives -wal and -shm the mode of the file itself.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            mode = "ro" if read_only else "rw"
            self._connection = sqlite3.connect(
                f"file:{_uri_path(path)}?mode={mode}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        except (sqlite3.Error, OSError) as error:
            raise _explained(error, path) from error
        try:
            if read_only:
                self._connection.execute("PRAGMA query_only = ON")
                self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            else:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA secure_delete = ON")
                self._migrate(folder)
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise _explained(error, path) from error

    def _migrate(self, folder: str) -> None:
        scripts = migrations(folder)
        if self._version() >= scripts[-1][0]:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = self._version()
            for number, script in scripts:
                if number > done:
                    for command in _commands(script):
                        self._connection.execute(command)
                    self._connection.execute(f"PRAGMA user_version = {number:d}")
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._connection.execute("ROLLBACK")
            raise

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def query(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        try:
            return self._connection.execute(statement(name), parameters or {}).fetchall()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def stream(self, name: str, parameters: Parameters | None = None) -> Iterator[Row]:
        try:
            yield from self._connection.execute(statement(name), parameters or {})
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def execute(self, name: str, rows: Iterable[Parameters]) -> None:
        try:
            self._connection.executemany(statement(name), rows)
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def begin(self) -> None:
        self._command("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._command("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._command("ROLLBACK")

    def purge(self) -> None:
        """Move the write-ahead log into the file and empty it: what was deleted is gone from both."""
        self._command("PRAGMA wal_checkpoint(TRUNCATE)")

    def _command(self, command: str) -> None:
        try:
            self._connection.execute(command)
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def claim_writer(self) -> int:
        folder = self.path.parent / "writers"
        try:
            folder.mkdir(exist_ok=True, mode=0o700)
            for number in range(MAX_WRITERS):
                lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                self._lock = lock
                return number
        except OSError as error:
            raise _explained(error, folder) from error
        raise DatabaseError(f"{folder}: {MAX_WRITERS} writers are open already")

    def close(self) -> None:
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _commands(script: str) -> Iterator[str]:
    """The commands of a script one by one: `executescript` would commit the transaction around it."""
    command = ""
    for line in script.splitlines():
        command += line + "\n"
        if sqlite3.complete_statement(command):
            yield command
            command = ""


def _uri_path(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")


def _explained(error: Exception, path: Path) -> DatabaseError:
    return DatabaseError(f"{path}: {getattr(error, 'strerror', None) or error}")
