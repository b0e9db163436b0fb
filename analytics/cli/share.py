"""`analytics share`: hand sealed releases to a named recipient. Reads sealed files only, never the store."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import click

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import SealError
from analytics.anonymise.signing import Signer
from analytics.reports.errors import no_site
from analytics.share import sharing
from analytics.share.outbox import Outbox, OutboxBusy
from analytics.share.recipients import ShareRefused
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.ledger import LedgerUnavailable, open_ledger
from consent_middleware.policy import PolicyError, PrivacyPolicy
from consent_middleware.policy_sections import Recipient


@click.command(help="Hand sealed releases to a named recipient; each disclosure is logged in the ledger.")
@click.option("--recipient", "name", help="One of the policy's recipients; by default every one with a schedule.")
@click.option("--period", "periods", multiple=True, help="day:2026-11-20 ...; by default what the schedule names.")
@click.option("--cube", "cubes", multiple=True, help="Only these cubes.")
@click.option("--site", help="The site; by default the policy's first host.")
@click.option(
    "--releases", "releases_dir", type=click.Path(file_okay=False, path_type=Path), help="Default: DATA_DIR/releases."
)
@click.option("--retry", is_flag=True, help="Try now what waits, and revive dead letters.")
@click.option("--list", "listing", is_flag=True, help="Show the state of every delivery.")
@policy_option
@data_dir_option
@format_option("text", "json")
def share(
    name: str | None,
    periods: tuple[str, ...],
    cubes: tuple[str, ...],
    site: str | None,
    releases_dir: Path | None,
    retry: bool,
    listing: bool,
    policy_path: Path,
    data_dir: Path,
    format_: str,
) -> int:
    try:
        policy = PrivacyPolicy.load(policy_path)
        chosen = _recipients(policy, name)
        folder = releases_dir or data_dir / "releases"
        _check_site(site, policy, folder)
        wanted = [Period.parse(text) for text in periods]
    except (PolicyError, ValueError) as error:
        raise UserError(str(error)) from None
    with Outbox(data_dir / "share") as outbox:
        if listing:
            for letter in outbox.letters():
                _say(format_, recipient=letter.recipient, period=letter.period, state=letter.state,
                     attempts=letter.attempts, next_at=letter.next_at, told=letter.told)  # fmt: skip
            return 0
        try:
            outbox.deliver_alone()
        except OutboxBusy as error:
            raise UserError(str(error)) from None
        if retry:
            outbox.revive()
        return _share(
            policy, chosen, wanted, cubes, site or policy.site.site_id, folder, outbox, data_dir, retry, format_
        )


def _share(
    policy: PrivacyPolicy,
    chosen: list[Recipient],
    wanted: list[Period],
    cubes: tuple[str, ...],
    site: str,
    folder: Path,
    outbox: Outbox,
    data_dir: Path,
    force: bool,
    format_: str,
) -> int:
    signer = Signer.open(data_dir / "keys")
    ledger = open_ledger(data_dir, policy.consent.ledger or None)
    wrong = said = 0
    try:
        for recipient in chosen:
            try:
                releases = [sharing.read_release(folder, site, period) for period in wanted]
                if not wanted:
                    releases = list(sharing.due(recipient, sealed.releases(folder, site)))
                for release in releases:
                    said += 1
                    outcome = sharing.share(
                        recipient, release, policy=policy, outbox=outbox, signer=signer,
                        disclose=ledger.append_disclosure, now=dt.datetime.now(dt.UTC), cubes=cubes, force=force,
                    )  # fmt: skip
                    wrong += outcome.state in ("waiting", "dead")
                    _say(format_, recipient=outcome.recipient, period=outcome.period, state=outcome.state,
                         told=outcome.told, next_at=outcome.next_at)  # fmt: skip
            except (ShareRefused, SealError) as error:
                wrong, said = wrong + 1, said + 1
                _say(format_, recipient=recipient.name, state="refused", told=str(error))
    except LedgerUnavailable as error:
        raise UserError(f"the disclosure can't be logged: {error}") from None
    finally:
        ledger.close()
    if not said and format_ == "text":
        click.echo(
            "nothing is due" if chosen else f"no recipient of {policy.path} has a schedule: name one, --recipient"
        )
    return 1 if wrong else 0


def _check_site(site: str | None, policy: PrivacyPolicy, folder: Path) -> None:
    """Raises ValueError for a site that neither the policy file names nor any sealed release is of."""
    if site is None or site in policy.site.site_ids:
        return
    known = [*policy.site.site_ids, *(release.site for release in (sealed.releases(folder) if folder.is_dir() else ()))]
    if site not in known:
        raise ValueError(f"--site: {no_site(site, dict.fromkeys(known))}")


def _recipients(policy: PrivacyPolicy, name: str | None) -> list[Recipient]:
    if name is None:
        return [recipient for recipient in policy.recipients if recipient.schedule]
    found = [recipient for recipient in policy.recipients if recipient.name == name]
    if not found:
        known = ", ".join(recipient.name for recipient in policy.recipients) or "none is declared"
        raise ValueError(f'"{name}" is not a recipient of {policy.path} ({known})')
    return found


def _say(format_: str, **values: object) -> None:
    if format_ == "json":
        click.echo(json.dumps(values))
        return
    period = f" {values['period']}" if "period" in values else ""
    after = f" (next attempt {values['next_at']})" if values.get("next_at") else ""
    click.echo(f"{values['recipient']}{period}: {values['state']}: {values['told']}{after}")
