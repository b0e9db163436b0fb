"""Services: what one worker keeps open - ledger, spool, capture, revocations, the desk - and how it opens and closes.

Everything here is made after the fork, in the event loop that uses it, because threads and locks don't survive either.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from consent_middleware.capture import Capture
from consent_middleware.country import ClientResolver
from consent_middleware.inventory import Inventory
from consent_middleware.ledger import Ledger, open_ledger
from consent_middleware.ledger.upkeep import upkeep
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.revocation import Revocations
from consent_middleware.rights.desk import Desk
from consent_middleware.rights.upkeep import chores as rights_chores
from consent_middleware.salts import DailySalts, Salts
from consent_middleware.shared_salts import SharedSalts
from consent_middleware.spool import Spool
from consent_middleware.spool_values import SpoolLimits
from consent_middleware.token import ConsentTokens

log = logging.getLogger("consent_middleware")

SECRET_KEYS_VARIABLE = "CONSENT_SECRET_KEYS"
DATA_DIR_VARIABLE = "CONSENT_DATA_DIR"
# Who holds one cookie can try secrets against its signature without asking us: a short one is found in that way.
MIN_SECRET_BYTES = 8
GOOD_SECRET_BYTES = 32
MAKE_A_SECRET = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


class ConfigurationError(RuntimeError):
    """The middleware can't start as it is set up; the message says what to set."""


class Services(msgspec.Struct, frozen=True):
    """One worker's open things. `close` gives them back."""

    policy: PrivacyPolicy
    tokens: ConsentTokens
    ledger: Ledger
    spool: Spool
    capture: Capture
    revocations: Revocations
    inventory: Inventory
    desk: Desk
    data_dir: Path
    secret_keys: tuple[str, ...]
    client: ClientResolver

    async def close(self) -> None:
        """Write what waits and close everything; one failure does not keep the rest open."""
        for part in (self.revocations, self.spool, self.inventory, self.ledger):
            try:
                await asyncio.to_thread(part.close)
            except Exception:
                log.exception("%s could not be closed cleanly", type(part).__name__)


async def open_services(
    policy: PrivacyPolicy,
    data_dir: str | Path,
    secret_keys: Sequence[str],
    ledger_url: str | None = None,
    *,
    tokens: ConsentTokens | None = None,
    client: ClientResolver | None = None,
) -> Services:
    """Open everything for this worker. The ledger itself is opened by its first reader or writer."""
    data_dir = Path(data_dir)
    client = client or ClientResolver(policy)
    ledger = open_ledger(data_dir, ledger_url or policy.consent.ledger or None)
    limits = SpoolLimits(
        total_bytes=policy.capture.spool_max_mb * 1024 * 1024,
        oldest_seconds=policy.capture.spool_max_age_days * 86_400,
        segment_bytes=policy.capture.segment_mb * 1024 * 1024,
    )
    spool = Spool(data_dir / "spool", limits)
    salts, salt_chores = _salts(policy, data_dir, ledger_url or policy.consent.ledger)
    chores = (*upkeep(ledger, policy), *rights_chores(data_dir, policy), *salt_chores)
    revocations = Revocations(ledger, spool, chores=chores)
    for chore in salt_chores:
        await asyncio.to_thread(chore)
    await asyncio.to_thread(revocations.start)
    return Services(
        policy=policy,
        tokens=tokens or ConsentTokens(secret_keys, policy),
        ledger=ledger,
        spool=spool,
        capture=Capture(policy, spool, client, salts),
        revocations=revocations,
        inventory=Inventory(data_dir),
        desk=Desk(data_dir, spool),
        data_dir=data_dir,
        secret_keys=tuple(secret_keys),
        client=client,
    )


def _salts(
    policy: PrivacyPolicy, data_dir: Path, ledger_url: str | None
) -> tuple[Salts | None, tuple[Callable[[], object], ...]]:
    """Where daily keys come from, and their chores: with a ledger on PostgreSQL all hosts share the salt."""
    if policy.capture.without_consent != "daily-key":
        return None, ()
    if not ledger_url:
        return DailySalts(data_dir / "salts"), ()
    from consent_middleware.ledger.postgres import PostgresDatabase

    shared = SharedSalts(lambda: PostgresDatabase(ledger_url, "salts_postgres"))
    return shared, (shared.refresh,)


def secrets_from(argument: Sequence[str] | None) -> list[str]:
    """The secret keys, newest last: the argument, or the environment. Raises ConfigurationError.

    None has a default, and none may be shorter than MIN_SECRET_BYTES; below GOOD_SECRET_BYTES the log says so.
    """
    if isinstance(argument, str):
        raise ConfigurationError('secret_keys is a list, newest key last: secret_keys=["..."]')
    keys = list(argument) if argument is not None else os.environ.get(SECRET_KEYS_VARIABLE, "").split(",")
    keys = [key.strip() for key in keys]
    if not keys or not all(keys):
        raise ConfigurationError(
            "no secret key (or an empty one): pass secret_keys=[...], newest last, or set "
            f"{SECRET_KEYS_VARIABLE} to a comma-separated list; {MAKE_A_SECRET}"
        )
    shortest = min(len(key.encode()) for key in keys)
    if shortest < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"a secret key of {shortest} bytes can be guessed: at least {MIN_SECRET_BYTES} are needed, and "
            f"{GOOD_SECRET_BYTES} random ones wanted (secret_keys or {SECRET_KEYS_VARIABLE}); {MAKE_A_SECRET}"
        )
    if shortest < GOOD_SECRET_BYTES:
        _warn_of_short_secrets()
    return keys


@lru_cache(1)
def _warn_of_short_secrets() -> None:
    """Said once, by whichever wrapped application starts first."""
    log.warning(
        "a secret key has less than %d bytes: whoever holds a cookie may guess it and sign decisions; %s",
        GOOD_SECRET_BYTES,
        MAKE_A_SECRET,
    )


def data_dir_from(argument: str | Path | None) -> Path:
    """The folder for ledger, spool and keys: the argument, the environment, or `var`; made when it is missing.

    Raises ConfigurationError when this process may not write there: nobody could be asked, and nothing proved.
    """
    folder = Path(argument or os.environ.get(DATA_DIR_VARIABLE) or "var")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder}: the data folder can't be made: {error.strerror or error}") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"{folder}: the data folder can't be written by this user: change its owner or rights")
    return folder
