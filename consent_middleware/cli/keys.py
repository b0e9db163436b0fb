"""`consent keys`: make, rotate and list what signs. Secrets are printed for the site's configuration, never kept."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import click
import msgspec

from consent_middleware import keys as signing
from consent_middleware.cli.opening import load_policy
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.ledger.subject_keys import index_key

VARIABLE = "CONSENT_SECRET_KEYS"
LONGEST_LIFETIME_DAYS = 396


def _secrets() -> list[str]:
    return [key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip()]


def _lifetime(policy_path: Path) -> int:
    """For how long a cookie lives; without a policy file, the longest that one could say."""
    return load_policy(policy_path).consent.lifetime_days if policy_path.exists() else LONGEST_LIFETIME_DAYS


@click.group(help="Create, rotate and list secret keys (cookies) and signing keys (receipts, heads).")
def keys() -> None: ...


@keys.command(
    "new", help="Print a new secret for CONSENT_SECRET_KEYS; with --signing, make the keys of the data folder."
)
@data_dir_option
@click.option(
    "--signing",
    "for_signing",
    is_flag=True,
    help="The data folder's own keys instead: an Ed25519 key, and that of keyed hashes if there is none.",
)
def new(data_dir: Path, for_signing: bool) -> None:
    if not for_signing:
        click.echo(signing.new_secret())
        return
    if _signing_keys(data_dir):
        raise UserError(
            f"{signing.keys_folder(data_dir)}: there is a signing key already (`consent keys rotate --signing`)"
        )
    click.echo(_new_signing_key(data_dir))
    try:
        index_key(data_dir)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None


@keys.command(
    "rotate", help="Print CONSENT_SECRET_KEYS with a new secret last, without those that no cookie needs any more."
)
@policy_option
@data_dir_option
@click.option("--signing", "for_signing", is_flag=True, help="A new Ed25519 key in the data folder instead.")
def rotate(policy_path: Path, data_dir: Path, for_signing: bool) -> None:
    if for_signing:
        click.echo(_new_signing_key(data_dir))
        return
    held = _secrets()
    if not held:
        raise UserError(f"{VARIABLE} is empty: set it to the present list, or start one with `consent keys new`")
    today = dt.datetime.now(dt.UTC).date()
    rotated = signing.rotate_secrets(held, _lifetime(policy_path), today)
    click.echo(",".join(rotated))
    dropped = len(held) + 1 - len(rotated)
    click.echo(
        f"{len(held) - dropped} kept, {dropped} dropped, 1 new (newest last): restart the workers with it", err=True
    )


@keys.command("list", help="What each key is for, and until when it is needed; never a secret itself.")
@policy_option
@data_dir_option
@format_option("text", "json")
def list_(policy_path: Path, data_dir: Path, format_: str) -> None:
    described = signing.describe_secrets(_secrets(), _lifetime(policy_path))
    signers = _signing_keys(data_dir)
    if format_ == "json":
        public = [{"id": key.id, "made": key.made, "public": key.public} for key in signers]
        click.echo(msgspec.json.encode({"secrets": described, "signing": public}).decode())
        return
    for number, secret in enumerate(described):
        made = f"made {secret.made}" if secret.made else "of unknown age"
        if number == len(described) - 1:
            use = "signs cookies now"
        elif secret.needed_until is None:
            use = "keep it: its successor's age is unknown"
        else:
            use = f"verifies until {secret.needed_until}, when its last cookie ends"
        click.echo(f"secret   {secret.id}  {made}, {use}")
    for number, key in enumerate(signers):
        use = "signs now" if number == len(signers) - 1 else "verifies what it signed"
        click.echo(f"signing  {key.id}  made {_day(key.made)}, {use}; public {key.public}")
    if not described:
        click.echo(f"no secrets: {VARIABLE} is not set here (where the site gets it from, it may be)", err=True)
    if not signers:
        folder = signing.keys_folder(data_dir)
        click.echo(f"no signing keys: {folder} has none; the first head or receipt makes one", err=True)


def _day(made: str) -> str:
    """The day in the name of a key's file, or what stands there instead."""
    try:
        return dt.datetime.strptime(made[:8], "%Y%m%d").date().isoformat()
    except ValueError:
        return made


def _signing_keys(data_dir: Path) -> list[signing.SigningKey]:
    try:
        return signing.signing_keys(data_dir)
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from None


def _new_signing_key(data_dir: Path) -> str:
    try:
        return signing.new_signing_key(data_dir).public
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
