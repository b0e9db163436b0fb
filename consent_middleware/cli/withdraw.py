"""`consent withdraw`: for somebody who wrote an e-mail instead of pressing a button."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from consent_middleware.cli.opening import opened_ledger
from consent_middleware.cli.options import data_dir_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.ledger import Ledger
from consent_middleware.withdrawal import NothingToWithdraw
from consent_middleware.withdrawal import withdraw as withdraw_record


@click.command(help="Withdraw a consent for somebody who wrote: every worker follows within seconds, and erases.")
@policy_option
@data_dir_option
@click.option("--record", "record_id", help="The record id: it stands on the visitor's receipt.")
@click.option("--subject", help="Or the site's own subject (member:42) ...")
@click.option("--purpose", help="... and one purpose of it; all of the subject's consents otherwise.")
@click.option("--reason", required=True, help="Why, for the proof. Write no personal data here: it is never erased.")
@click.option("--forget", is_flag=True, help="Also delete the subject key: the proof then leads to nobody any more.")
def withdraw(
    policy_path: Path,
    data_dir: Path,
    record_id: str | None,
    subject: str | None,
    purpose: str | None,
    reason: str,
    forget: bool,
) -> None:
    if (record_id is None) == (subject is None):
        raise UserError("say whose consent: either --record ID or --subject NAME")
    with opened_ledger(policy_path, data_dir) as ledger:
        records = [record_id] if record_id else _records_of(ledger, subject or "", purpose)
        for record in records:
            try:
                entry, erasure = asyncio.run(withdraw_record(ledger, record, reason=reason))
            except NothingToWithdraw as error:
                if record_id:
                    raise UserError(str(error)) from None
                click.echo(str(error))
                continue
            if forget:
                ledger.forget(record)
            purposes = ", ".join(sorted(entry.purposes)) or "nothing"
            click.echo(f"{record}: withdrawn ({purposes}); workers refuse its cookies within 5 s")
            if forget:
                click.echo(f"{record}: its subject key is deleted, and the proof leads to nobody any more")
            if erasure is not None:
                click.echo(f"{record}: a worker of the site hands on the erasure of their visits ({erasure.ticket})")


def _records_of(ledger: Ledger, subject: str, purpose: str | None) -> list[str]:
    known = ledger.records_of(subject)
    wanted = [record for name, record in known.items() if purpose in (None, name)]
    if not wanted:
        raise UserError(f"{subject}: no consent{f' to {purpose}' if purpose else ''} is recorded under this subject")
    return wanted
