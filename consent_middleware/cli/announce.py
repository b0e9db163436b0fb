"""`consent announce`: e-mail the present revision of the policy to those whom the site's hooks name."""

from __future__ import annotations

from pathlib import Path

import click

from consent_middleware.cli.opening import load_policy, opened_ledger
from consent_middleware.cli.options import counted, data_dir_option, policy_option, site_address
from consent_middleware.lazy import UserError


@click.command(help="E-mail the policy's present revision to members, each of them once (SMTP_URL names the server).")
@click.option("--site", required=True, help="Where the site is, for example https://example.org.")
@click.option("--hooks", envvar="CONSENT_HOOKS", help="The site's module with providers that offer addresses().")
@click.option("--dry-run", is_flag=True, help="Show the letter and how many would get it; send nothing.")
@policy_option
@data_dir_option
def announce(site: str, hooks: str | None, dry_run: bool, policy_path: Path, data_dir: Path) -> int:
    from consent_middleware import announcing
    from consent_middleware.mail import MailError
    from consent_middleware.rights.providers import HOW_TO_NAME_HOOKS, ProviderError, asked_of_the_site

    policy = load_policy(policy_path)
    site = site_address(site, policy.site.hosts)
    try:
        if not asked_of_the_site(policy, hooks):
            raise UserError(f"nobody says whom to write to: {HOW_TO_NAME_HOOKS}")
        if dry_run:
            subject, text = announcing.letter_text(policy, site)
            click.echo(f"{subject}\n\n{text}\nTo {counted(len(announcing.addresses()), 'address', 'addresses')}.")
            return 0
        with opened_ledger(policy_path, data_dir, writing=True) as ledger:
            done = announcing.announce(policy, data_dir, ledger, site)
    except (ProviderError, MailError) as error:
        raise UserError(str(error)) from None
    click.echo(f"revision {policy.revision}: {done.sent} sent, {done.before} had it already, {len(done.failed)} failed")
    for line in done.failed:
        click.echo(line, err=True)
    return 1 if done.failed else 0
