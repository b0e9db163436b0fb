"""Access log -> store: parsed by the engine, in pieces, so that an import resumes where it stopped and never doubles.

The lines, with their addresses, exist in memory only: they reach the engine through an anonymous file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import msgspec

from analytics.ingest import enrich
from analytics.ingest.loader import ONE_BLOCK
from analytics.store import Store, open_store
from consent_middleware.country import country_of
from consent_middleware.lazy import UserError

Format = Literal["combined", "nginx-json", "caddy-json"]
PIECE_BYTES: Final = 32 * 1024 * 1024
GROWING_SECONDS: Final = 60.0
STAGED: Final = (
    "address String, time Int64, method LowCardinality(String), target String, protocol LowCardinality(String), "
    "status UInt16, bytes UInt64, duration_ms UInt32, referrer LowCardinality(String), "
    "user_agent LowCardinality(String), host LowCardinality(String), language LowCardinality(String), "
    "reason LowCardinality(String)"
)
STATIC: Final = [
    *("css", "js", "mjs", "map", "json", "xml", "txt", "csv", "wasm", "webmanifest"),
    *("png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "avif", "bmp", "woff", "woff2", "ttf", "otf", "eot"),
    *("mp4", "webm", "mp3", "wav", "ogg", "pdf", "zip", "gz", "doc", "docx", "xls", "xlsx", "ppt", "pptx"),
]


class ImportState(msgspec.Struct):
    """How far one log was imported. The salt goes when the end is reached."""

    identity: str
    offset: int = 0  # bytes of text, uncompressed
    sending: list[int] = []  # lengths of the pieces behind it that may be in the store already
    digest: str = ""  # of the text up to the offset
    pieces: int = 0
    lines: int = 0
    rejected: dict[str, int] = {}
    salt: tuple[int, int] | None = None


class ImportSummary(msgspec.Struct):
    """What one run of an import did."""

    format: str
    lines: int = 0
    resumed_at: int = 0
    rejected: dict[str, int] = {}
    examples: dict[str, str] = {}


def open_log(path: Path) -> IO[bytes]:
    """A log, plain, gzip or zstd, by its first bytes. Raises UserError."""
    try:
        file = path.open("rb")
        magic = file.read(4)
        file.seek(0)
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    if magic[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(file))
    if magic == b"\x28\xb5\x2f\xfd":
        try:
            import zstandard
        except ImportError:
            raise UserError(f"{path}: zstd needs: pip install zstandard") from None
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file


def detect(first_line: bytes) -> Format:
    """The format of a log, by its first line."""
    if not first_line.lstrip().startswith(b"{"):
        return "combined"
    try:
        found = msgspec.json.decode(first_line)
    except msgspec.DecodeError:
        return "nginx-json"
    return "caddy-json" if isinstance(found.get("request"), dict) else "nginx-json"


def pieces(file: IO[bytes], size: int, first: Sequence[int], *, growing: bool) -> Iterator[bytes]:
    """Whole lines, at most `size` bytes at a time, and so always cut at the same places from the same offset.

    `first`: the lengths of the first pieces when they were recorded before. A last line without a newline is left for
    the next time while the log is `growing`.
    """
    for length in first:
        yield file.read(length)
    rest = b""
    while data := file.read(max(size - len(rest), size // 2)):
        rest += data
        if cut := rest.rfind(b"\n") + 1:
            yield rest[:cut]
            rest = rest[cut:]
    if rest and not growing:
        yield rest


def import_log(
    store: Store,
    data_dir: Path,
    path: Path,
    *,
    site: str,
    basis: str,
    allowed: frozenset[str],
    format_: Format | None = None,
    piece_bytes: int = PIECE_BYTES,
    on_progress: Callable[[int], None] = lambda done: None,
) -> ImportSummary:
    """Import what is new in a log. `on_progress` gets the bytes read of the file on disk. Raises UserError.

    A log is known again by its text, whatever its name and compression; what was imported of it is skipped.
    """
    if not store.embedded:
        raise UserError("an import needs the embedded engine on this machine; import here, then move the rows")
    with open_log(path) as file:
        first = file.readline(64 * 1024)
        if not first.strip():
            return ImportSummary(format_ or "combined")
        chosen = format_ or detect(first)
        state = ImportState(hashlib.blake2b(first, digest_size=16).hexdigest())
    folder = Path(data_dir) / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, state, digest = _resume(folder, state, path)
    with file:
        state.salt = state.salt or (secrets.randbits(64), secrets.randbits(64))
        summary = ImportSummary(chosen, resumed_at=state.offset)
        growing = time.time() - path.stat().st_mtime < GROWING_SECONDS
        recorded = list(state.sending)
        state.sending = []
        sent: deque[tuple[bytes, Future[dict[str, int]]]] = deque()
        with open_store(f"chdb://{store.folder}", data_dir, migrate=False) as second, ThreadPoolExecutor(2) as two:

            def settle() -> None:
                """Record the oldest piece under way: it is in the store."""
                piece, future = sent.popleft()
                _count(future.result(), state, summary)
                digest.update(piece)
                state.offset += len(piece)
                state.sending.pop(0)
                state.pieces += 1
                state.digest = digest.hexdigest()
                _write(folder, state)
                on_progress(_position(file))

            for number, piece in enumerate(pieces(file, piece_bytes, recorded, growing=growing), state.pieces):
                if len(sent) == 2:  # one is sorted and written while the next one is parsed
                    settle()
                state.sending.append(len(piece))
                _write(folder, state)  # a repetition sends the same bytes, even when the log grew
                one = _Piece(piece, number, chosen, site, basis, allowed, state.salt, state.identity)
                sent.append((piece, two.submit(_import_piece, (store, second)[number % 2], one)))
            while sent:
                settle()
    state.salt = None  # from here on nobody can compute a key from an address
    _write(folder, state)
    return summary


def _position(file: Any) -> int:
    """How far the file on disk was read, for the progress bar."""
    inner = getattr(file, "fileobj", None) or getattr(file, "raw", file)
    try:
        return int(inner.tell())
    except (OSError, ValueError, AttributeError):
        return 0


def _resume(folder: Path, fresh: ImportState, path: Path) -> tuple[IO[bytes], ImportState, Any]:
    """The log, open behind what was imported of it, its state, and the hash of what lies before."""
    for number in itertools.count():
        known = folder / f"{fresh.identity}-{number}.json"
        file = open_log(path)
        digest = hashlib.blake2b(digest_size=16)
        if not known.exists():
            fresh.identity = known.stem
            return file, fresh, digest
        state = msgspec.json.decode(known.read_bytes(), type=ImportState)
        left = state.offset
        while left and (data := file.read(min(left, 4 * 1024 * 1024))):
            digest.update(data)
            left -= len(data)
        if not left and (state.offset == 0 or digest.hexdigest() == state.digest):
            return file, state, digest
        file.close()  # another log that begins with the same line
    raise AssertionError


def _write(folder: Path, state: ImportState) -> None:
    unfinished = folder / f".{state.identity}"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / f"{state.identity}.json")


class _Piece(msgspec.Struct, frozen=True):
    """What is to be done with one piece of a log."""

    text: bytes
    number: int
    format: Format
    site: str
    basis: str
    allowed: frozenset[str]
    salt: tuple[int, int]
    identity: str


def _count(found: dict[str, int], state: ImportState, summary: ImportSummary) -> None:
    for reason, count in found.items():
        if reason:
            state.rejected[reason] = state.rejected.get(reason, 0) + count
            summary.rejected[reason] = summary.rejected.get(reason, 0) + count
        else:
            state.lines += count
            summary.lines += count


def _import_piece(store: Store, piece: _Piece) -> dict[str, int]:
    """Parse, explain and insert one piece; lines by the reason for their rejection, the empty one for none."""
    tables = {name: f"import_{name}_{piece.number % 2}" for name in ("staged", "agents", "sources", "countries")}
    staged = tables["staged"]
    # Only a query with an allowed parameter is looked at; all others are one value, the empty one.
    wanted = [f"{name}=" for name in sorted(piece.allowed)] or ["\0"]
    store.command(
        f"CREATE OR REPLACE TABLE {staged} ({STAGED}, "
        "tagged String MATERIALIZED if(multiSearchAny(target, " + _array(wanted) + "), queryString(target), '')) "
        "ENGINE = Memory"
    )
    try:
        store.load_lines(store.sql(f"parse_{piece.format.replace('-', '_')}"), {"staged": staged}, piece.text)
        found = dict(store.query(f"SELECT toString(reason), count() FROM {staged} GROUP BY reason"))
        enrich.make_import_tables(store, tables, piece.allowed, country_of, piece.site)
        store.command(
            store.sql("insert_imported"),
            {
                **tables,
                "site": piece.site,
                "basis": piece.basis,
                "salt_a": piece.salt[0],
                "salt_b": piece.salt[1],
                "static": STATIC,
            },
            insert_deduplication_token=f"import:{piece.identity}:{piece.number}",
            **ONE_BLOCK,
        )
    finally:
        for table in tables.values():
            store.command(f"DROP TABLE IF EXISTS {table}")
    return found


def _array(words: list[str]) -> str:
    quoted = ", ".join("'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'" for word in words)
    return f"[{quoted}]"
