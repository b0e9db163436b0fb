"""The one client for both engines: chDB in this process, or a ClickHouse server or cluster by URL."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from analytics.deferred import deferred
from consent_middleware.lazy import UserError

SQL_ROOT: Final = Path(__file__).resolve().parent.parent
MEMORY_LIMIT: Final = 600_000_000
DRAINS: Final = 5
Mode = Literal["rw", "ro"]
LOW_CARDINALITY: Final = re.compile(r"LowCardinality\((\w+)\)")
# Settings of an insert under a token: one block for each partition, so that a repetition consists of the same blocks.
ONE_BLOCK: Final = {
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 0,
    "max_partitions_per_insert_block": 0,
}


class StoreError(Exception):
    """The engine refused a statement; `code` is ClickHouse's error code, 0 when there is none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StoreUnavailable(StoreError):
    """The store can't be reached or did not answer: the same statement may be sent again later."""


class StoreInUse(UserError):
    """Another process has the folder open."""


class _Folder:
    """The lock on a chDB folder, shared by the stores that this process opens on it."""

    open: ClassVar[dict[Path, _Folder]] = {}
    guard = threading.Lock()

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self.lock = lock
        self.users = 0

    @classmethod
    def take(cls, path: Path, lock_path: Path) -> _Folder:
        with cls.guard:
            folder = cls.open.get(path)
            if folder is None:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = lock_path.open("a+", encoding="utf-8")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    lock.seek(0)
                    holder = lock.read().strip() or "another process"
                    lock.close()
                    raise StoreInUse(
                        f"{path}: the store is in use by {holder}; the embedded engine allows one process per folder: "
                        "stop that process, or wait until it is done"
                    ) from None
                lock.truncate(0)
                since = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                program = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]).strip()
                lock.write(f"process {os.getpid()} ({program or 'python'}, since {since})")
                lock.flush()
                folder = cls.open[path] = cls(path, lock)
            folder.users += 1
            return folder

    def release(self) -> None:
        with self.guard:
            self.users -= 1
            if self.users == 0:
                del self.open[self.path]
                self.lock.truncate(0)
                self.lock.close()


@lru_cache(256)
def load_sql(name: str) -> str:
    """The text of `sql/<name>.sql` in any room of analytics. Raises FileNotFoundError."""
    for path in sorted(SQL_ROOT.glob(f"**/sql/{name}.sql")):
        return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"no sql/{name}.sql in {SQL_ROOT}")


class Store:
    """Questions and statements with named parameters (`{name:Type}`); errors are StoreError or StoreUnavailable."""

    def __init__(self, client: Any, *, folder: _Folder | None, cluster: str = "") -> None:
        self._client = client
        self._folder = folder
        self.cluster = cluster
        # The embedded client takes one statement at a time anyhow; nobody may come between a failure and its cleaning.
        self._turn: contextlib.AbstractContextManager[Any] = threading.RLock() if folder else contextlib.nullcontext()

    @property
    def embedded(self) -> bool:
        return self._folder is not None

    @property
    def alone(self) -> bool:
        """Is this the only store that the process has open on its chDB folder?"""
        return self._folder is not None and self._folder.users == 1

    @property
    def folder(self) -> Path | None:
        """The chDB folder, when the engine runs in this process."""
        return self._folder.path if self._folder else None

    @property
    def on_cluster(self) -> str:
        return f"ON CLUSTER '{self.cluster}'" if self.cluster else ""

    def local(self, table: str) -> str:
        """The table that holds rows on each node; the table itself where there is no cluster."""
        return f"{table}_local" if self.cluster else table

    def sql(self, name: str) -> str:
        return load_sql(name)

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> list[tuple[Any, ...]]:
        with self._talking():
            result = self._client.query(sql, parameters=dict(params or {}), settings=settings or None)
            return [tuple(row) for row in result.result_rows]

    def query_columns(
        self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any
    ) -> tuple[list[str], list[Sequence[Any]]]:
        """Column names, and one sequence of values per column."""
        with self._talking():
            options = {"column_oriented": True, "settings": settings or None}
            result = self._client.query(sql, parameters=dict(params or {}), **options)
            names = list(result.column_names)
            return names, list(result.result_columns) or [[] for _ in names]

    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        """A pyarrow Table."""
        with self._talking():
            return self._client.query_arrow(sql, parameters=dict(params or {}), settings=settings or None)

    def command(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        with self._talking():
            return self._client.command(sql, parameters=dict(params or {}), settings=settings or None)

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Around one statement. The embedded engine keeps what a statement had given before it failed or was stopped,
        and puts it before the next answer of the same client: whatever is left is read and thrown away here."""
        with self._turn:
            try:
                with _translated():
                    yield
            except StoreError:
                for _ in range(DRAINS if self.embedded else 0):
                    with contextlib.suppress(Exception):
                        if self._client.query("SELECT 1").result_rows == [(1,)]:
                            break
                raise

    def load(self, table: str, structure: str, format_: str, chunks: Iterable[bytes]) -> None:
        """Hand bytes in one of the engine's formats to a table, without touching their rows here."""
        if not self.embedded:
            with _translated():
                self._client.raw_insert(table, insert_block=b"".join(chunks), fmt=format_)
            return
        self._from_bytes(f"INSERT INTO {table}", structure, format_, chunks)

    def make(self, table: str, structure: str, format_: str, chunks: Sequence[bytes]) -> None:
        """A new table in memory, in place of an older one, of bytes in one of the engine's formats, or empty."""
        create = f"CREATE OR REPLACE TABLE {table} ({structure}) ENGINE = Memory"
        if not self.embedded or not chunks:
            self.command(create)
            if chunks:
                self.load(table, structure, format_, chunks)
            return
        self._from_bytes(f"{create} AS", structure, format_, chunks)

    def _from_bytes(self, statement: str, structure: str, format_: str, chunks: Iterable[bytes]) -> None:
        """Run a statement that goes on with a SELECT of the bytes. Embedded engine only."""
        # Read as plain strings and made LowCardinality column by column: row by row, as a parser does it, is three
        # times as dear. Parsing in several threads costs a third more and saves no time on two cores.
        with _anonymous_file(chunks) as path:
            self.command(
                f"{statement} SELECT * FROM file({{path:String}}, '{format_}', {{structure:String}})",
                {"path": path, "structure": LOW_CARDINALITY.sub(r"\1", structure)},
                input_format_parallel_parsing=0,
            )

    def load_lines(self, sql: str, params: Mapping[str, Any], lines: bytes) -> None:
        """Run a statement that reads lines of text from the file `{log:String}`. Embedded engine only."""
        with _anonymous_file([lines]) as path:
            self.command(sql, {**params, "log": path})

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
            if self._folder is not None:
                self._folder.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextlib.contextmanager
def _anonymous_file(chunks: Iterable[bytes]) -> Iterator[str]:
    """The name of a file in memory that the engine, which runs in this process, can read: nothing touches a disk."""
    fd = os.memfd_create("rows")
    with os.fdopen(fd, "wb") as file:
        file.writelines(chunks)
        file.flush()
        yield f"/proc/self/fd/{fd}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The driver's exceptions as ours, in one line."""
    from clickhouse_connect.driver import exceptions

    try:
        yield
    except exceptions.OperationalError as error:
        raise StoreUnavailable(_line(error)) from error
    except exceptions.Error as error:
        code = int(getattr(error, "code", 0) or 0)
        # timeouts 159 and 209, too many queries 202, network 210, memory 241, read-only table 242, keeper 999
        kind = StoreUnavailable if code in (159, 202, 209, 210, 241, 242, 999) else StoreError
        raise kind(_line(error), code) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:600]


def open_store(
    url: str | None, data_dir: Path, *, mode: Mode = "rw", migrate: bool = True, memory: int = MEMORY_LIMIT
) -> Store:
    """Open the store of a data folder: chDB in `data_dir/store`, or the server that `url` names.

    `url`: None or `chdb:///folder`; `http(s)://user:password@host:port/database?cluster=name` or `clickhouse://`.
    `memory`: bytes that the embedded engine may take, all statements together; what is refused is StoreUnavailable 241.
    Raises StoreInUse, UserError (chDB is not installed), StoreUnavailable.
    """
    data_dir = Path(data_dir).absolute()
    if url and not url.startswith("chdb:"):
        store = _open_server(url)
    else:
        store = _open_embedded(Path(url.removeprefix("chdb://")) if url else data_dir / "store", data_dir, mode, memory)
    if mode == "rw" and migrate:
        from analytics.store.migrations import migrate as apply

        try:
            apply(store)
        except BaseException:
            store.close()
            raise
    return store


def _open_embedded(path: Path, data_dir: Path, mode: Mode, memory: int) -> Store:
    if importlib.util.find_spec("chdb") is None:
        raise UserError(
            'the embedded engine is not installed: pip install "consent-middleware[embedded]", '
            "or name a ClickHouse server with --store http://..."
        )
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(os.path.realpath(path))
    folder = _Folder.take(path, path.with_name(path.name + ".lock"))
    try:
        import clickhouse_connect

        options = {"max_server_memory_usage": str(memory)}
        if mode == "ro":
            options["mode"] = "ro"
        with deferred("pyarrow"), _translated():  # the engine's package wants it for answers that are Arrow tables
            client = clickhouse_connect.get_client(interface="chdb", path=str(path), chdb_options=options)
    except BaseException:
        folder.release()
        raise
    return Store(client, folder=folder)


def _open_server(url: str) -> Store:
    import clickhouse_connect

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    secure = parts.scheme in ("https", "clickhouses")
    with _translated():
        client = clickhouse_connect.get_client(
            host=parts.hostname or "localhost",
            port=parts.port or (8443 if secure else 8123),
            username=parts.username or "default",
            password=parts.password or "",
            database=parts.path.strip("/") or "default",
            secure=secure,
            autogenerate_session_id=False,
            send_receive_timeout=int(options.get("timeout", "300")),
        )
    return Store(client, folder=None, cluster=options.get("cluster", ""))
