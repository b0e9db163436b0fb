"""`consent ...`: the operator's commands around policy, ledger, rights and keys. One file per command."""

from __future__ import annotations

import click

from consent_middleware import __version__
from consent_middleware.lazy import LazyGroup, run

COMMANDS = {
    "init": ("consent_middleware.cli.init:init", "Draft a privacy.toml from what a site was seen to do."),
    "check": ("consent_middleware.cli.check:check", "Check the policy file, or a live site against it."),
    "diff": ("consent_middleware.cli.diff:diff", "Compare two policies: who is asked again, and why."),
    "withdraw": ("consent_middleware.cli.withdraw:withdraw", "Withdraw a consent for someone who wrote."),
    "record": ("consent_middleware.cli.record:record", "Show one consent record, or append one for a paper form."),
    "ledger": ("consent_middleware.cli.ledger:ledger", "Verify or export the ledger."),
    "rights": ("consent_middleware.cli.rights:rights", "The register of data-subject requests."),
    "records": ("consent_middleware.cli.records:records", "Records for the officer, drawn from the policy file."),
    "announce": ("consent_middleware.cli.announce:announce", "E-mail a changed policy to members."),
    "rates": ("consent_middleware.cli.rates:rates", "Acceptance rates, by language and day."),
    "keys": ("consent_middleware.cli.keys:keys", "Create, rotate and list secret keys."),
    "cookies": ("consent_middleware.cli.cookies:cookies", "Import cookie descriptions."),
}


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The privacy policy that enforces itself: policy, consent ledger, rights and keys.",
)
@click.version_option(__version__, prog_name="consent")
def consent() -> None: ...


def main() -> None:
    run(consent, "consent")
