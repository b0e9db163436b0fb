"""Options that every command takes: --policy and --data-dir, with their environment variables and defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

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


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 chain", "2 chains"; `many` where an s is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
