"""`analytics import`: access logs, and other tools' totals."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from analytics.cli.common import errands_on, load_policy
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.policy import PrivacyPolicy

REPORTS = (
    "totals",
    "pages",
    "entry-pages",
    "exit-pages",
    "sources",
    "locations",
    "devices",
    "browsers",
    "systems",
    "events",
)
FORMATS = ("combined", "common", "nginx-json", "caddy-json")
DEFAULT_PARAMETERS = frozenset(("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "ref"))


@click.command(
    "import",
    help="Import access logs (combined, common, nginx JSON, Caddy JSON; plain, gzip or zstd), or what another tool "
    "exported: Plausible's zip or imported_*.csv, a CSV report of Google Analytics 4 or of Matomo. Exported totals are "
    "shown where a report asks for imports, never released.",
)
@click.argument("logs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", help="The site the log belongs to; the policy's first host when there is one.")
@click.option(
    "--basis",
    type=click.Choice(["imported", "consent"]),
    default="imported",
    show_default=True,
    help="Imported rows never reach a release; say `consent` when the visitors agreed.",
)
@click.option("--log-format", type=click.Choice(FORMATS), help="When the first line does not tell.")
@click.option(
    "--report", type=click.Choice(REPORTS), help="Which report a file of Matomo is, when its name does not tell."
)
@click.option(
    "--days", nargs=2, type=click.DateTime(["%Y-%m-%d"]), help="First and last day of a file of Matomo without days."
)
@click.option("--again", is_flag=True, help="Import a log for this site although another site has it.")
@click.option("--new-site", is_flag=True, help="Take the site although neither the policy nor the store knows it.")
@policy_option
@data_dir_option
@format_option("text", "json")
def import_(
    logs: tuple[Path, ...],
    site: str | None,
    basis: str,
    log_format: str | None,
    report: str | None,
    days: tuple[dt.datetime, dt.datetime] | None,
    again: bool,
    new_site: bool,
    policy_path: Path,
    data_dir: Path,
    format_: str,
) -> int | None:
    import msgspec

    from analytics.imports import Import, reading_ahead

    policy = _policy_or_none(policy_path)
    site = site or (policy.site.site_id if policy else "localhost")
    allowed = frozenset(policy.capture.query_parameters) if policy else DEFAULT_PARAMETERS
    if policy is None:
        click.echo(
            f"No policy file: site {site}, query parameters {', '.join(sorted(allowed))}, rows kept 35 days.", err=True
        )
    chosen = "combined" if log_format == "common" else log_format
    period = (days[0].date(), days[1].date()) if days else None
    wrong = 0
    with errands_on(None, data_dir, policy, policy_path, here=lambda: reading_ahead(logs[0])) as do:
        for log in logs:
            with _bar(log) as advance:
                wanted = Import(str(log.absolute()), site, basis, allowed, chosen, report, period, again, new_site)
                found = do(wanted, advance)
            for taken in found.cells:
                _show_cells(log, taken, format_)
            if (summary := found.lines) is None:
                continue
            wrong += sum(summary.rejected.values()) + (summary.damage is not None)
            if format_ == "json":
                click.echo(msgspec.json.encode({"log": str(log), **msgspec.structs.asdict(summary)}))
            else:
                _show(log, summary)
    return 1 if wrong else None


def _show_cells(path: Path, taken: Any, format_: str) -> None:
    import msgspec

    if format_ == "json":
        click.echo(msgspec.json.encode({"export": str(path), **msgspec.structs.asdict(taken)}))
        return
    name = path.name if taken.name == path.name else f"{path.name}: {taken.name}"
    if taken.cells:
        click.echo(f"{name}: {counted(taken.cells, 'cell')} of {taken.tool} imported, {taken.first} to {taken.last}")
    else:
        click.echo(f"{name}: nothing new; {counted(taken.held, 'cell')} whose days were imported before")
    if taken.held and taken.cells:
        click.echo(f"  {counted(taken.held, 'cell')} left out: their days were imported before")


def _policy_or_none(path: Path) -> PrivacyPolicy | None:
    named = click.get_current_context().get_parameter_source("policy_path") is not click.core.ParameterSource.DEFAULT
    return load_policy(path) if named or path.exists() else None


def _show(log: Path, summary: Any) -> None:
    if summary.nothing:
        click.echo(f"{log}: nothing new for {summary.site}; {summary.nothing}")
    else:
        before = " (the rest was imported before)" if summary.resumed_at else ""
        click.echo(f"{log}: {counted(summary.lines, 'line')} of {summary.format} imported for {summary.site}{before}")
    for reason, count in sorted(summary.rejected.items(), key=lambda item: -item[1]):
        click.echo(f"  {count:,} rejected: {reason}; such as: {summary.examples[reason]}")
    if summary.damage:
        click.echo(
            f"{log}: not read to its end: {summary.damage.what}, at byte {summary.damage.at:,} of "
            f"{log.stat().st_size:,}. The whole lines before it are imported and kept. Get a whole copy of this log "
            "and import it: it goes on behind the last line that was taken, and doubles nothing."
        )


@contextlib.contextmanager
def _bar(log: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, when it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"importing {log.name}", total=log.stat().st_size)
        yield lambda done: progress.update(task, completed=done)
