"""`analytics release`: seal a period into an anonymous release, or show what it would cost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from analytics import sites
from analytics.anonymise import bounds
from analytics.anonymise import release as releasing
from analytics.anonymise.cubes import CubeError
from analytics.anonymise.mechanism import OverspendError
from analytics.anonymise.paths import imported_paths
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import SealedRelease, SealError, read_manifest
from analytics.cli.common import errands_on, store_option
from analytics.reports.released import bound_among
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy

NOTHING_DUE = "nothing is due: every period that is ready has its release"


@click.command(help="Seal a period into an anonymous release, or show what it would cost (--dry-run).")
@click.option("--period", "periods", multiple=True, help="day:2026-11-20, week:2026-W47 or month:2026-11; repeatable.")
@click.option("--due", "all_due", is_flag=True, help="Every period that is ready and has no release yet.")
@click.option("--dry-run", is_flag=True, help="Show spend, noise and the smallest trustworthy counts; seal nothing.")
@click.option("--late", is_flag=True, help="Count the rows of sealed periods that arrived after their seal.")
@click.option("--routes", "app", metavar="MODULE:APP", help="Print the app's own paths, for capture.routes.")
@click.option("--site", help="The site; by default the policy's first host.")
@store_option
@policy_option
@data_dir_option
@format_option("table", "json")
def release(
    periods: tuple[str, ...],
    all_due: bool,
    dry_run: bool,
    late: bool,
    app: str | None,
    site: str | None,
    store_url: str | None,
    policy_path: Path,
    data_dir: Path,
    format_: str,
) -> None:
    try:
        if app:
            _show_routes(imported_paths(app), format_)
            return
        policy = PrivacyPolicy.load(policy_path)
        wanted = [str(Period.parse(text)) for text in periods]
        name = site or policy.site.site_id
        if not (wanted or all_due or late):
            raise UserError("name a period (--period day:2026-11-20), or --due for all that are ready")
        if dry_run:
            sites.check((name,), data_dir, policy, store_url)
        there = bool(store_url) or (data_dir / "store").exists()
        if dry_run and not (all_due and there):  # looking makes no store
            _show_plans(policy, name, wanted, format_)
            return
        with errands_on(store_url, data_dir, policy, policy_path, retention=False) as do:
            if late:
                _show_late(do, name, format_)
                return
            wanted += _due(do, name) if all_due else []
            if dry_run:
                _show_plans(policy, name, wanted, format_)
            else:
                _seal(do, name, wanted, format_)
    except (PolicyError, CubeError, SealError, OverspendError, ValueError) as error:
        raise UserError(str(error)) from None


def _show_routes(paths: tuple[str, ...], format_: str) -> None:
    if format_ == "json":
        click.echo(json.dumps({"routes": paths}))
        return
    lines = "".join(f"    {json.dumps(path, ensure_ascii=False)},\n" for path in paths)
    click.echo(f"# privacy.toml: keys that are known beforehand need no threshold\n[capture]\nroutes = [\n{lines}]")


def _due(do: Callable[..., Any], site: str) -> list[str]:
    from analytics.errands import Due

    found: list[str] = do(Due(site))
    return found


def _seal(do: Callable[..., Any], site: str, wanted: list[str], format_: str) -> None:
    """Each period by itself: what is sealed is shown, whatever becomes of the next one."""
    from analytics.errands import Seal

    if not wanted:
        click.echo(NOTHING_DUE, err=True)
    for period in wanted:
        _show_release(read_manifest(Path(do(Seal(site, period)))), format_)


def _show_late(do: Callable[..., Any], site: str, format_: str) -> None:
    """For the operator only: an exact count, which no release holds."""
    from analytics.errands import CountLate

    found = do(CountLate(site))
    if format_ != "json" and not any(found.values()):
        click.echo(f"no row of {site} arrived after the seal of its period")
    for period, count in found.items():
        if format_ == "json":
            click.echo(json.dumps({"period": period, "late": count}))
        elif count:
            are = "is" if count == 1 else "are"
            click.echo(f"{period}: {counted(count, 'row')} arrived after the seal and {are} in no release")


def _show_release(sealed: SealedRelease, format_: str) -> None:
    if format_ == "json":
        click.echo(json.dumps(sealed.manifest))
        return
    spent = sealed.manifest["spent"]
    click.echo(
        f"sealed {sealed.period} of {sealed.site}: {counted(sealed.manifest['file']['rows'], 'cell')}, "
        f"epsilon {spent['epsilon']:.3f}, {sealed.path}"
    )


def _show_plans(policy: PrivacyPolicy, site: str, wanted: list[str], format_: str) -> None:
    if not wanted:
        click.echo(NOTHING_DUE, err=True)
    for period in wanted:
        _show_plan(releasing.plan_of(policy, site, Period.parse(period)), format_)


def _show_plan(plan: bounds.Plan, format_: str) -> None:
    rows = [(m, trusted(m)) for m in plan.measurements]
    if format_ == "json":
        click.echo(json.dumps({
            "site": plan.site,
            "period": str(plan.period),
            "epsilon": plan.epsilon,
            "rho": plan.rho,
            "delta": plan.delta,
            "promise": {"epsilon": plan.promise.epsilon, "delta": plan.promise.delta, "rho": plan.promise.rho},
            "every_day_of_a_month": releasing.every_day(plan),
            "measurements": [
                {
                    "cube": m.cube, "metric": m.metric, "keys": m.kind, "sigma": m.sigma, "rho": m.rho,
                    "tau": None if m.tau is None else m.tau / bounds.SCALE, "smallest_trustworthy": count,
                }
                for m, count in rows
            ],
        }))  # fmt: skip
        return
    click.echo(f"What a seal of {plan.period} ({plan.site}) would spend (a dry run spends nothing):")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for heading in ("cube", "metric", "keys"):
        table.add_column(heading, no_wrap=True)
    for heading in ("share of promise", "L2 bound", "sigma", "tau", "trust from"):
        # A heading breaks between its words, so that the table keeps within 80 columns.
        table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for m, count in rows:
        table.add_row(
            m.cube, m.metric, m.kind, f"{m.rho / plan.promise.rho:.2%}", f"{m.l2 / bounds.SCALE:.2f}",
            f"{m.sigma:.1f}", "" if m.tau is None else f"{m.tau / bounds.SCALE:.1f}", f"{count}",
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    month = releasing.every_day(plan)
    console.print(
        f"This release alone: epsilon {plan.epsilon:.3f} at delta {plan.promise.delta:g} (rho {plan.rho:.5f}). "
        f"Day, week and month together, for a visitor who comes on one day: epsilon {plan.promise.epsilon:g}. "
        f"A visitor who comes on every day of a month: epsilon {month['epsilon']:.2f} at delta {month['delta']:.2g}.\n"
        '"trust from": the smallest count that stands out from the noise of its whole table (in 95 of 100 no empty '
        "cell reaches it), or the smallest that is shown at all.",
        soft_wrap=True,
    )


def trusted(measurement: bounds.Measurement) -> int:
    """The smallest count that stands out from noise, or the threshold where that is higher.

    A table of known keys is read as a whole, empty cells and all: so it is among all of its cells, as the dashboard
    lists them. Keys that a threshold chose are there already: of these each number is told from none by itself.
    """
    tau = 0.0 if measurement.tau is None else (measurement.tau + 1) / bounds.SCALE
    cells = len(measurement.keys) if measurement.kind == "known" else 1
    return math.ceil(max(bound_among(cells) * measurement.sigma, tau))
