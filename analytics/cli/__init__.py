"""`analytics ...`: load, import, report, seal, verify, share, erase and serve. One file per command."""

from __future__ import annotations

import click

from analytics import __version__
from consent_middleware.lazy import LazyGroup, run

COMMANDS = {
    "serve": ("analytics.cli.serve:serve", "Run the analytics service: loader, jobs, dashboard, API."),
    "load": ("analytics.cli.load:load", "Load spooled segments into the store."),
    "import": ("analytics.cli.imports:import_", "Import an access log or another tool's export."),
    "report": ("analytics.cli.report:report", "Print an aggregated report."),
    "release": ("analytics.cli.release:release", "Seal a period into an anonymous release, or show its cost."),
    "verify": ("analytics.cli.verify:verify", "Check sealed releases: file, signature, chain, budget."),
    "share": ("analytics.cli.share:share", "Hand sealed releases to a named recipient."),
    "erase": ("analytics.cli.erase:erase", "Erase a visitor's rows, and show that they are gone."),
    "breach": ("analytics.cli.breach:breach", "A data breach: who is affected, when the 72 hours end."),
    "doctor": ("analytics.cli.doctor:doctor", "What is held, since when, until when; what is wrong."),
    "token": ("analytics.cli.token:token", "Create, list and revoke access tokens."),
}


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The analytics pipeline behind the consent gate: everything shared is aggregated, sealed and anonymous.",
)
@click.version_option(__version__, prog_name="analytics")
def analytics() -> None: ...


def main() -> None:
    run(analytics, "analytics")
