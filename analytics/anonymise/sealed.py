"""SealedRelease: one Parquet file of exactly seven columns and one signed manifest, written once, chained by hash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from analytics.anonymise.periods import Period
from analytics.anonymise.signing import is_signed

COLUMNS = ("site", "period", "cube", "key", "metric", "value", "sigma")
FORMAT = 1
GENESIS = "0" * 64
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.parquet")


class Cell(msgspec.Struct, frozen=True):
    """One released number: as drawn, neither clamped nor rounded; `sigma` is the standard deviation of its noise."""

    site: str
    period: str
    cube: str
    key: str
    metric: str
    value: float
    sigma: float


class SealError(Exception):
    """A release can't be made, or is not what it claims to be; the message says what and where."""


class SealedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release on disk: `manifest` is the signed statement, `path` the Parquet file beside it."""

    site: str
    period: Period
    path: Path
    manifest_path: Path
    manifest: dict[str, Any]
    manifest_sha256: str

    @property
    def sha256(self) -> str:
        return str(self.manifest["file"]["sha256"])

    def cells(self) -> list[Cell]:
        """The cells, after the file's hash was compared with the manifest's. Raises SealError."""
        return read_checked(self.path.read_bytes(), self.sha256, self.path)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the bytes that are signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def write_parquet(cells: Iterable[Cell]) -> bytes:
    """Uncompressed, so that anybody can search the bytes for what must not be there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(cells)
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(name, pa.float64() if name in ("value", "sigma") else text) for name in COLUMNS])
    columns = [pa.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema]
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(columns, schema=schema)
    pq.write_table(table, buffer, compression="none", store_schema=False, write_statistics=False)
    return buffer.getvalue()


def read_parquet(raw: bytes) -> list[Cell]:
    """Raises SealError when the columns are not exactly the seven."""
    import pyarrow.parquet as pq

    # One thread and no read-ahead: a pool that is still starting when a short command exits aborts the process.
    with pq.ParquetFile(io.BytesIO(raw), pre_buffer=False) as file:
        table = file.read(use_threads=False)
    if tuple(table.column_names) != COLUMNS:
        raise SealError(
            f"a sealed file has the columns {', '.join(COLUMNS)}; this one has {', '.join(table.column_names)}"
        )
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    return [Cell(*row) for row in zip(*columns, strict=True)]


def read_checked(raw: bytes, sha256: str, path: Path) -> list[Cell]:
    """The cells of `raw` when it has that hash. Raises SealError."""
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise SealError(f"{path}: the file is not the one that was sealed (SHA-256 differs)")
    return read_parquet(raw)


def write_once(path: Path, content: bytes) -> None:
    """Create, never replace; durable on return. A beginning of the same bytes (a crash half-way) is completed."""
    if path.exists():
        found = path.read_bytes()
        if found == content:
            return None
        if content.startswith(found):
            path.unlink()
            return write_once(path, content)
        raise SealError(f"{path}: exists already with other content; a sealed file is never replaced")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def releases(releases_dir: Path, site: str | None = None) -> list[SealedRelease]:
    """All releases of a folder in the order of their chain. Raises SealError for a manifest that can't be read."""
    found = []
    for path in sorted(releases_dir.glob("*/*.json")):
        release = read_manifest(path)
        if site is None or release.site == site:
            found.append(release)
    return sorted(found, key=lambda release: (release.site, release.manifest["number"]))


def read_manifest(path: Path) -> SealedRelease:
    raw = path.read_bytes()
    try:
        envelope = json.loads(raw)
        manifest = envelope["manifest"]
        period = Period.parse(str(manifest["period"]))
        site, name = manifest["site"], manifest["file"]["name"]
        number = manifest["number"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SealError(f"{path}: not a manifest ({error!r})") from None
    if not isinstance(site, str) or not isinstance(number, int) or not _FILE_NAME.fullmatch(str(name)):
        raise SealError(f"{path}: not a manifest (site, number or file name)")
    return SealedRelease(
        site=site,
        period=period,
        path=path.with_name(name),
        manifest_path=path,
        manifest=manifest,
        manifest_sha256=hashlib.sha256(raw).hexdigest(),
    )


def verify(releases_dir: Path, public_keys: Sequence[str] = ()) -> list[str]:
    """What is wrong with a folder of releases, one sentence each; empty when all is as it was sealed.

    Checked: each file against its hash, each signature (against `public_keys` when given, else against the chain's
    first key), the chain of hashes without gap, one release per period, that no manifest spends more than it states,
    and the budget of every day.
    """
    from analytics.anonymise.budget import contradictions, overspent_days
    from analytics.anonymise.ended import is_ended

    problems: list[str] = []
    try:
        found = releases(releases_dir)
    except (SealError, OSError) as error:
        return [str(error)]
    for site in sorted({release.site for release in found}):
        chain = [release for release in found if release.site == site]
        trusted = set(public_keys) or {str(json.loads(chain[0].manifest_path.read_bytes()).get("key"))}
        previous, seen = GENESIS, set()
        spending = []
        for number, release in enumerate(chain, 1):
            where = str(release.manifest_path)
            envelope = json.loads(release.manifest_path.read_bytes())
            key, signature = str(envelope.get("key")), str(envelope.get("signature"))
            if key not in trusted:
                problems.append(f"{where}: signed by a key that is not trusted ({key})")
            elif not is_signed(canonical(release.manifest), signature, key):
                problems.append(f"{where}: the signature does not fit the manifest")
            if release.manifest["number"] != number or release.manifest["previous"] != previous:
                problems.append(f"{where}: the chain is broken: release {number} does not follow the one before")
            if str(release.period) in seen:
                problems.append(f"{where}: {release.period} was sealed twice")
            seen.add(str(release.period))
            previous = release.manifest_sha256
            try:
                problems += [f"{where}: {problem}" for problem in contradictions(release.manifest)]
                overspent_days([release.manifest])
                spending.append(release.manifest)
            except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                problems.append(f"{where}: not a manifest ({error!r})")
                continue
            if not release.path.exists() and is_ended(release, trusted):
                continue  # its time has passed; the manifest still counts for chain and budget
            try:
                problems += _file_problems(release)
            except (SealError, OSError) as error:
                problems.append(str(error))
        problems += [f"{site}: {problem}" for problem in overspent_days(spending)]
    return problems


def _file_problems(release: SealedRelease) -> list[str]:
    cells = release.cells()
    problems = []
    if len(cells) != release.manifest["file"]["rows"]:
        problems.append(f"{release.path}: {len(cells)} rows, the manifest says {release.manifest['file']['rows']}")
    sigmas = {(m["cube"], m["metric"]): m["sigma"] for m in release.manifest["measurements"]}
    for cell in cells:
        if cell.site != release.site or cell.period != str(release.period):
            problems.append(f"{release.path}: a cell of another site or period")
            break
        if sigmas.get((cell.cube, cell.metric)) != cell.sigma:
            problems.append(f"{release.path}: {cell.cube}/{cell.metric} has a sigma that the manifest does not state")
            break
    return problems
