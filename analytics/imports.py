"""The errand of `analytics import`, apart from the others: an import starts without what they need."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from analytics import sites
from analytics.ingest.accesslog import PIECE_BYTES, ImportSummary, import_log
from analytics.ingest.exports.cells import CellSummary, import_export
from analytics.ingest.exports.reading import is_export
from analytics.ingest.reading import Reading
from analytics.reports.errors import no_site
from analytics.store import Store
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy


class Import(msgspec.Struct, frozen=True, tag="import"):
    """One file, by its absolute path. `allowed`: query parameters kept; `again`: although another site has it;
    `new_site`: although neither the policy nor the store knows the site."""

    log: str
    site: str
    basis: str
    allowed: frozenset[str]
    format: str | None = None
    report: str | None = None
    days: tuple[dt.date, dt.date] | None = None
    again: bool = False
    new_site: bool = False


class Imported(msgspec.Struct, frozen=True):
    """Of an access log `lines`, of another tool's export `cells`."""

    lines: ImportSummary | None = None
    cells: list[CellSummary] = []


@contextlib.contextmanager
def reading_ahead(first: Path) -> Iterator[Callable[..., Imported]]:
    """`import_file` for a command whose first file is `first`: its reading begins here, while the store is opened.

    Raises UserError when it can't be read.
    """
    ahead = None if is_export(first) else Reading.of(first, PIECE_BYTES)

    def import_next(
        errand: Import,
        store: Store,
        data_dir: Path,
        policy: PrivacyPolicy | None,
        on_progress: Callable[[int], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> Imported:
        nonlocal ahead
        begun, ahead = ahead, None
        try:
            return import_file(errand, store, data_dir, policy, on_progress, begun, prepare)
        finally:
            if begun:
                begun.close()

    try:
        yield import_next
    finally:
        if ahead:
            ahead.close()


def import_file(
    errand: Import,
    store: Store,
    data_dir: Path,
    policy: PrivacyPolicy | None,
    on_progress: Callable[[int], None],
    ahead: Reading | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Imported:
    """`ahead`: of an access log, when its reading began before. `prepare` makes the store ready. Raises UserError."""

    def ready() -> None:
        prepare()
        known = sites.known_in(store, policy)
        if known and not errand.new_site and not sites.is_known(errand.site, known):
            raise UserError(f"{no_site(errand.site, known)}; say --new-site if it is a new one")

    log = Path(errand.log)
    try:
        if is_export(log):
            ready()
            cells = import_export(store, log, site=errand.site, report=errand.report, days=errand.days)
            return Imported(cells=cells)
        chosen: Any = errand.format
        lines = import_log(
            store, data_dir, log, site=errand.site, basis=errand.basis, allowed=errand.allowed, format_=chosen,
            again=errand.again, ahead=ahead, prepare=ready, on_progress=on_progress,
        )  # fmt: skip
    except PermissionError as error:
        raise UserError(f"{log}: {error.strerror}: the process that owns the store has to read it") from None
    except FileNotFoundError:
        raise UserError(f"{log}: the process that owns the store does not see this file") from None
    return Imported(lines)
