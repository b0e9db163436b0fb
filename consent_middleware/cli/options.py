"""Options that every command takes: --policy and --data-dir, with their environment variables and defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import click

from consent_middleware.lazy import UserError
from consent_middleware.words import counted as counted

F = TypeVar("F", bound=Callable[..., object])


def policy_option(function: F) -> F:
    return click.option(
        "--policy",
        "policy_path",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="CONSENT_POLICY",
        default=Path("privacy.toml"),
        show_default="$CONSENT_POLICY or privacy.toml",
        help="The policy file.",
    )(function)


def data_dir_option(function: F) -> F:
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="CONSENT_DATA_DIR",
        default=Path("var"),
        show_default="$CONSENT_DATA_DIR or var",
        help="The data folder.",
    )(function)


def site_address(given: str, hosts: tuple[str, ...]) -> str:
    """The address of a site that the policy file names, without a slash at its end. Raises UserError.

    What is given goes into letters: a mistyped host would lead people to a stranger.
    """
    known = f"; the policy file names {', '.join(hosts)}" if hosts else ""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        raise UserError(f'--site: "{given}" is not an address{known}') from None
    if parts.scheme not in ("http", "https") or not host:
        raise UserError(f'--site: "{given}" is not an address such as https://{(hosts or ("example.org",))[0]}{known}')
    for entry in hosts:
        named = urlsplit(f"//{entry}")
        name = (named.hostname or "").removeprefix("www.")
        fits = host.endswith(name[1:]) if name.startswith("*.") else host.removeprefix("www.") == name
        if fits and named.port in (None, parts.port):
            return given.rstrip("/")
    if hosts:
        raise UserError(f'--site: "{host}{port}" is none of the site\'s hosts{known} (site.hosts)')
    return given.rstrip("/")


def format_option(*formats: str) -> Callable[[F], F]:
    """`--format`, the first of `formats` being the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(list(formats)),
        default=formats[0],
        show_default=True,
        help="How to print the answer.",
    )
