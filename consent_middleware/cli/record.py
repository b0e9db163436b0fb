"""`consent record`: show one record, or append one for a paper form."""

from __future__ import annotations

import asyncio
import difflib
from pathlib import Path

import click
import msgspec

from consent_middleware.cli.opening import load_policy, opened_ledger
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.forms import append_consent
from consent_middleware.lazy import UserError
from consent_middleware.ledger import ConsentRecord, Ledger
from consent_middleware.ledger.record import WHERE_IDS_STAND
from consent_middleware.policy import PrivacyPolicy


@click.command(help="Show one consent record, or append one for a paper form (--given or --refused).")
@policy_option
@data_dir_option
@format_option("text", "json")
@click.option("--record", "record_id", help="The record to show.")
@click.option("--subject", help="The site's own subject (member:42): shows its records, or appends to them.")
@click.option("--purpose", help="What a paper form was about.")
@click.option(
    "--text-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The form's exact text."
)
@click.option(
    "--text-version", type=click.IntRange(0), help="The number of that text; the policy's revision otherwise."
)
@click.option("--recipient", "recipients", multiple=True, help="A third party that the text names (repeatable).")
@click.option("--given/--refused", "given", default=None, help="What the person answered.")
@click.option("--language", default="en", show_default=True, help="The form's language.")
@click.option("--new-purpose", is_flag=True, help="The purpose is meant as it stands, near as it is to a declared one.")
@click.option("--show-subject", is_flag=True, help="Decrypt the subject, where its key was not deleted.")
def record(
    policy_path: Path,
    data_dir: Path,
    format_: str,
    record_id: str | None,
    subject: str | None,
    purpose: str | None,
    text_file: Path | None,
    text_version: int | None,
    recipients: tuple[str, ...],
    given: bool | None,
    language: str,
    new_purpose: bool,
    show_subject: bool,
) -> None:
    if (record_id is None) == (subject is None):
        raise UserError("say which: either --record ID or --subject NAME")
    if given is not None and not (subject and purpose and text_file):
        raise UserError("a paper form needs --subject, --purpose and --text-file")
    with opened_ledger(policy_path, data_dir, writing=given is not None) as ledger:
        if given is not None and subject and purpose and text_file:
            policy = load_policy(policy_path)
            if not new_purpose:
                _refuse_a_near_miss(policy, purpose)
            entry = asyncio.run(
                append_consent(
                    ledger,
                    policy,
                    purpose=purpose,
                    given=given,
                    text=_text(text_file),
                    subject=subject,
                    language=language,
                    method="operator",
                    recipients=recipients,
                    version=text_version,
                )
            )
            record_id = entry.record_id
        ids = [record_id] if record_id else sorted(ledger.records_of(subject or "").values())
        histories = [ledger.read_now(one) for one in ids]
        if not any(histories):
            none = f"{record_id}: no such record; {WHERE_IDS_STAND}" if record_id else f"{subject}: no such record"
            raise UserError(none)
        for history in histories:
            _show(ledger, history, format_, show_subject)


def _refuse_a_near_miss(policy: PrivacyPolicy, purpose: str) -> None:
    """A form may be about what no [[purpose]] declares, but a typing error would stand in the proof for ever."""
    declared = [one.id for one in policy.purposes]
    near = difflib.get_close_matches(purpose, declared, n=1, cutoff=0.8)
    if near and purpose not in declared:
        raise UserError(f'purpose "{purpose}": did you mean "{near[0]}"? If not, say --new-purpose')


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def _show(ledger: Ledger, entries: list[ConsentRecord], format_: str, show_subject: bool) -> None:
    from consent_middleware.dpv import event_of, moment
    from consent_middleware.receipts import state_of

    for entry in entries:
        who = ledger.subject_of(entry) if show_subject else None
        if format_ == "json":
            node = event_of(entry)
            if show_subject:
                node["cm:subject"] = who
            click.echo(msgspec.json.encode(node).decode())
            continue
        click.echo(f"{entry.record_id}  {moment(entry.at)}  {entry.event} by {entry.method}")
        for purpose, granted in sorted(entry.purposes.items()):
            click.echo(f"  {purpose}: {'yes' if granted else 'no'}")
        ends = f", holds until {moment(entry.until)}" if entry.until else ""
        click.echo(f"  revision {entry.revision} in {entry.language}, text {entry.notice[:16]}, {entry.regime}{ends}")
        if entry.recipients:
            click.echo(f"  may be shared with: {'; '.join(entry.recipients)}")
        if entry.reason:
            click.echo(f"  reason: {entry.reason}")
        if show_subject:
            click.echo(f"  subject: {who or 'nobody, or erased'}")
    if format_ == "text" and entries:
        click.echo(f"{entries[-1].record_id}  now: {state_of(entries)}")
