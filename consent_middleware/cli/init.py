"""`consent init`: a starter privacy.toml, or a draft of what a site was seen to do."""

from __future__ import annotations

from pathlib import Path

import click

from consent_middleware.cli.options import counted, policy_option
from consent_middleware.lazy import UserError


@click.command()
@click.argument("url", required=False)
@policy_option
@click.option("--pages", type=click.IntRange(1, 100), default=5, show_default=True, help="Pages of the site to visit.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(url: str | None, policy_path: Path, pages: int, force: bool) -> None:
    """Write a policy file.

    Without URL: a commented starter file that loads as it stands. With URL: the site is visited with Chromium, and its
    cookies, storage keys and third parties are declared with purposes proposed for you to decide.
    """
    from consent_middleware.draft import draft, starter
    from consent_middleware.policy import PrivacyPolicy

    if policy_path.exists() and not force:
        raise UserError(f"{policy_path} exists; --force overwrites it, --policy FILE writes another")
    if url is None:
        text = starter()
    else:
        from consent_middleware.browsing import browser_context, start_url

        with browser_context() as visitor:
            text = draft(visitor.look(start_url(url), pages=pages))
    policy = PrivacyPolicy.parse(text)
    try:
        policy_path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{policy_path}: can't be written: {error.strerror or error}") from None
    click.echo(
        f"{policy_path}: {counted(len(policy.purposes), 'purpose')}, "
        f"{counted(len(policy.cookies), 'cookie or storage key', 'cookies and storage keys')}, "
        f"{counted(len(policy.vendors), 'vendor')}. "
        "Fill in the controller, decide the purposes, then run `consent check`."
    )
