"""The ledger on SQLite: WAL, synchronous FULL, files for their owner only."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from consent_middleware.ledger.database import Conflict, DatabaseError, Parameters, Row, migrations, statement

BUSY_SECONDS = 2.0
MAX_WRITERS = 4096
# By the inode of a database whose write-ahead log was removed: what can neither be used nor closed any more.
_ABANDONED: dict[int, list[sqlite3.Connection]] = {}


class SqliteDatabase:
    """One file. `folder` names the migrations that make it."""

    def __init__(self, path: Path, folder: str, *, read_only: bool = False) -> None:
        self.path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._lock: int | None = None
        if _inode(path) in _ABANDONED:
            raise DatabaseError(f"{path}: its write-ahead log was removed while it was open: restart the workers")
        try:
            if not read_only:
                _make(path)
            self._connection = sqlite3.connect(
                f"file:{_uri_path(path)}?{_reading(path, self._wal) if read_only else 'mode=rw'}",
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
        self._file_inode, self._log_inode = _inode(path), _inode(self._wal)

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

    def _log_is_lost(self) -> bool:
        # A reader of a file that nobody writes has none.
        return self._log_inode is not None and _inode(self._wal) != self._log_inode

    def _still_there(self) -> None:
        """Raises DatabaseError when what we read and write can't be opened by anybody else any more.

        Somebody put a backup in its place, or removed the log: a commit into such a file succeeds, and is lost.
        """
        if _inode(self.path) != self._file_inode or self._log_is_lost():
            raise DatabaseError(f"{self.path}: was taken away or replaced while it was open")

    def query(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        self._still_there()
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
        self._still_there()

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
        file = _inode(self.path)
        if file is not None and file == self._file_inode and self._log_is_lost():
            # Closing would write our log, which nobody else can see, over what others have written since.
            _ABANDONED.setdefault(file, []).append(self._connection)
        else:
            self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _make(path: Path) -> None:
    """An empty file for its owner only, where there is none: SQLite gives -wal and -shm the mode of the file itself.

    Never opens a file that may be in use: POSIX locks end when their process closes *any* descriptor of the file, and
    without its lock another process takes itself for the last one, and removes the write-ahead log from under us.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        os.link(fresh, path)
    except FileExistsError:
        # Another worker was first.
        return
    finally:
        fresh.unlink()


def _reading(path: Path, wal: Path) -> str:
    """How to open a file for reading. Where nothing may be written, SQLite can't even make the locks it reads under;
    it needs none of a copy that nobody writes, which has no write-ahead log beside it.
    """
    still = not os.access(path.parent, os.W_OK) and not (wal.exists() and wal.stat().st_size)
    return "mode=ro&immutable=1" if still else "mode=ro"


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


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
    kind = Conflict if isinstance(error, sqlite3.IntegrityError) else DatabaseError
    return kind(f"{path}: {getattr(error, 'strerror', None) or error}")
