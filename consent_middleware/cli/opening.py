"""What the ledger's commands open: the policy, and the ledger that it names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from consent_middleware.lazy import UserError
from consent_middleware.ledger import Ledger, LedgerUnavailable, open_ledger
from consent_middleware.ledger.database import DatabaseError
from consent_middleware.ledger.ledger import LEDGER_FILE
from consent_middleware.policy import PolicyError, PrivacyPolicy


def load_policy(path: Path) -> PrivacyPolicy:
    """Raises UserError."""
    try:
        return PrivacyPolicy.load(path)
    except PolicyError as error:
        raise UserError(str(error)) from None


@contextlib.contextmanager
def opened_ledger(policy_path: Path, data_dir: Path, *, writing: bool = False) -> Iterator[Ledger]:
    """The ledger of the policy (its `[consent] ledger`), or that of the data folder when there is no policy file.

    One on SQLite that may only be read, as an auditor's copy, is opened for reading.
    Raises UserError when there is none yet and it is only to be read, or when it can't be reached.
    """
    url = load_policy(policy_path).consent.ledger if policy_path.exists() else ""
    if not url and not writing and not (data_dir / LEDGER_FILE).exists():
        raise UserError(
            f"{data_dir / LEDGER_FILE}: no ledger there yet: a visitor's first choice begins it "
            "(--data-dir names another folder)"
        )
    try:
        ledger = open_ledger(data_dir, url or None, read_only=not url and not writing and _only_readable(data_dir))
    except LedgerUnavailable as error:
        raise UserError(str(error)) from None
    try:
        yield ledger
    except (LedgerUnavailable, DatabaseError) as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{error.filename or data_dir}: {error.strerror or error}") from None
    finally:
        ledger.close()


def _only_readable(data_dir: Path) -> bool:
    file = data_dir / LEDGER_FILE
    return file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
