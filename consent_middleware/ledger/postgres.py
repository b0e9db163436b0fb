"""The ledger on PostgreSQL, for several hosts: the same statements, and triggers that refuse the same things."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from consent_middleware.ledger.database import Conflict, DatabaseError, Parameters, Row, migrations, pyformat_statement

LOCK_CLASS = 0x636F6E73  # "cons": the advisory locks of migrations and writers
MAX_WRITERS = 65_536
# A host that vanished is noticed within the keepalives, not after the kernel's quarter of an hour.
CONNECT = (
    "connect_timeout=5 keepalives_idle=5 keepalives_interval=2 keepalives_count=2 tcp_user_timeout=8000 "
    "application_name=consent-ledger "
    "options='-c statement_timeout=8000 -c lock_timeout=4000 -c synchronous_commit=on -c timezone=UTC'"
)

# folder of migrations -> the schema, and the table whose deleted rows have to be gone
_SCHEMAS: Final = {
    "postgres": ("consent_ledger", b"entries"),
    "keys_postgres": ("consent_keys", b"subject_keys"),
    "salts_postgres": ("consent_salts", b"salts"),
}


class PostgresDatabase:
    """One connection. `folder` names the migrations that make its tables."""

    def __init__(self, url: str, folder: str) -> None:
        self._writes = False
        try:
            self._connection: psycopg.Connection[Any] = psycopg.connect(_settings(url), autocommit=True)
        except psycopg.Error as error:
            raise _explained(error) from error
        try:
            # Migrations and keys live in schemas of their own, which a backup can leave out.
            schema, self._deleted_from = _SCHEMAS[folder]
            self._connection.execute(f"SET search_path TO {schema}")
            self._migrate(schema, folder)
        except psycopg.Error as error:
            self._connection.close()
            raise _explained(error) from error

    def _migrate(self, schema: str, folder: str) -> None:
        scripts = migrations(folder)
        if self._version(schema) >= scripts[-1][0]:
            return
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s, -1)", (LOCK_CLASS,))
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            self._connection.execute("CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY)")
            done = self._version(schema)
            for number, script in scripts:
                if number > done:
                    self._connection.execute(script.encode())
                    self._connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))

    def _version(self, schema: str) -> int:
        known = self._connection.execute("SELECT to_regclass(%s)", (f"{schema}.migrations",)).fetchone()
        if known is None or known[0] is None:
            return 0
        row = self._connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
        return int(row[0]) if row else 0

    def query(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        try:
            return self._connection.execute(pyformat_statement(name).encode(), parameters or {}).fetchall()
        except psycopg.Error as error:
            raise _explained(error) from error

    def stream(self, name: str, parameters: Parameters | None = None) -> Iterator[Row]:
        try:
            with self._connection.transaction(), self._connection.cursor(name="ledger") as cursor:
                cursor.itersize = 10_000
                cursor.execute(pyformat_statement(name).encode(), parameters or {})
                yield from cursor
        except psycopg.Error as error:
            raise _explained(error) from error

    def execute(self, name: str, rows: Iterable[Parameters]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(pyformat_statement(name).encode(), rows)
        except psycopg.Error as error:
            raise _explained(error) from error

    def begin(self) -> None:
        self._command(b"BEGIN")

    def commit(self) -> None:
        self._command(b"COMMIT")

    def rollback(self) -> None:
        if self._connection.closed or self._connection.broken:
            return
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._command(b"ROLLBACK")

    def purge(self) -> None:
        """Rewrite the table that rows go from, so that its files no longer hold them (the write-ahead log may)."""
        self._command(b"VACUUM FULL " + self._deleted_from)

    def _command(self, command: bytes) -> None:
        try:
            self._connection.execute(command)
        except psycopg.Error as error:
            raise _explained(error) from error

    def claim_writer(self) -> int:
        try:
            for number in range(MAX_WRITERS):
                row = self._connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, number)).fetchone()
                if row is not None and row[0]:
                    self._writes = True
                    return number
        except psycopg.Error as error:
            raise _explained(error) from error
        raise DatabaseError(f"{MAX_WRITERS} writers are open already")

    def close(self) -> None:
        if self._writes and self._connection.info.transaction_status == TransactionStatus.IDLE:
            # The server would let go of it a moment after the connection: who opens the ledger again at once, as a
            # worker that starts anew, would begin another chain.
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()


def _settings(url: str) -> str:
    """Our settings, which those of the URL override."""
    return psycopg.conninfo.make_conninfo(CONNECT, **psycopg.conninfo.conninfo_to_dict(url))


def _explained(error: psycopg.Error) -> DatabaseError:
    lines = str(error).strip().splitlines()
    # A trigger's refusal is a RaiseException of PL/pgSQL.
    kind = Conflict if isinstance(error, psycopg.IntegrityError | psycopg.errors.RaiseException) else DatabaseError
    return kind(f"PostgreSQL: {lines[0] if lines else type(error).__name__}")
