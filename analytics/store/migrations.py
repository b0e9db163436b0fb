"""The schema as numbered files, each applied once; a file that changed after it was applied is an error."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from string import Template
from typing import Final

from analytics.store.client import Store, StoreError

SCHEMA: Final = Path(__file__).parent / "schema"
# Old parts go within seconds: an erasure has to be gone from the disk.
SHORT_LIVED: Final = (
    "old_parts_lifetime = 1, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, "
    "max_cleanup_delay_period = 1"
)

# From when the days of a row are counted. A row can't be older than its own time says, but it can be younger.
KEPT_FROM: Final = "if(basis = 'imported', loaded, least(toDateTime(time), loaded))"


def statements(text: str) -> list[str]:
    """The statements of a file: separated by `;` at the end of a line, comments taken out."""
    text = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    return [statement.strip() for statement in re.split(r";\s*$", text, flags=re.MULTILINE) if statement.strip()]


def filled(text: str, store: Store) -> str:
    """A schema file with the engine clause of this store: MergeTree, or Replicated on every node of a cluster."""
    values = {
        "events": store.local("events"),
        "engine": "MergeTree",
        "engine_everywhere": "MergeTree",
        "deduplication": "non_replicated_deduplication_window",
        "on_cluster": store.on_cluster,
        "cluster": store.cluster,
        "short_lived": SHORT_LIVED,
    }
    if store.cluster:
        path = "/clickhouse/tables/{shard}/{database}/{table}"
        everywhere = "/clickhouse/tables/all/{database}/{table}"
        values |= {
            "engine": f"ReplicatedMergeTree('{path}', '{{replica}}')",
            "engine_everywhere": f"ReplicatedMergeTree('{everywhere}', '{{shard}}-{{replica}}')",
            "deduplication": "replicated_deduplication_window",
        }
    return Template(text).substitute(values)


def migrate(store: Store) -> list[str]:
    """Apply what is not applied yet; the names of it. Raises StoreError when an applied file was changed."""
    store.command(
        f"CREATE TABLE IF NOT EXISTS migrations {store.on_cluster} (name String, checksum String, "
        "applied DateTime('UTC') DEFAULT now()) ENGINE = "
        + ("ReplicatedMergeTree" if store.cluster else "MergeTree")
        + " ORDER BY name"
    )
    applied = dict(store.query("SELECT name, checksum FROM migrations"))
    fresh = not applied  # then all are recorded together: each insert costs as much as a table
    done = []
    for path in sorted(SCHEMA.glob("*.sql")):
        if path.stem.endswith(".cluster") and not store.cluster:
            continue
        text = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if path.stem in applied:
            if applied[path.stem] != checksum:
                raise StoreError(f"{path.name} was changed after it was applied; put the change into a file of its own")
            continue
        for statement in statements(filled(text, store)):
            store.command(statement)
        done.append((path.stem, checksum))
        if not fresh:
            _record(store, done[-1:])
    if fresh:
        _record(store, done)
    return [name for name, _ in done]


def _record(store: Store, applied: list[tuple[str, str]]) -> None:
    store.command(
        "INSERT INTO migrations (name, checksum) SELECT one.1, one.2 FROM "
        "(SELECT arrayJoin({applied:Array(Tuple(String, String))}) AS one)",
        {"applied": applied},
    )


def set_retention(store: Store, raw_days: int) -> None:
    """Rows go `raw_days` after their time; imported ones after their import, and so do those of a clock that ran ahead.

    A no-op when the table says so already.
    """
    _set_clock(store, store.local("events"), KEPT_FROM, f"toIntervalDay({int(raw_days)})")


def set_cells_retention(store: Store, cells_months: int) -> None:
    """Cells that another tool exported go `cells_months` after their import. A no-op when the table says so already."""
    _set_clock(store, "imported_cells", "loaded", f"toIntervalMonth({int(cells_months)})")


def _set_clock(store: Store, table: str, since: str, kept: str) -> None:
    ddl = store.query(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    if not ddl or f"TTL {since} + {kept}" not in str(ddl[0][0]):
        store.command(f"ALTER TABLE {table} {store.on_cluster} MODIFY TTL {since} + {kept}")
