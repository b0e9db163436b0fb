"""The end of a release: its cells go when `retention.cells_months` have passed, its manifest stays.

A signed note beside the manifest says that this was the policy and no accident, so that `verify` still holds the chain
and the budget of every day.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from pathlib import Path

from analytics.anonymise import sealed
from analytics.anonymise.sealed import SealedRelease
from analytics.anonymise.signing import Signer, is_signed
from consent_middleware.rights.request import months_after


def note_path(release: SealedRelease) -> Path:
    return release.manifest_path.with_suffix(".ended")


def last_day(release: SealedRelease, months: int) -> dt.date:
    """The day until which the cells are kept: so many months after the last day that they count."""
    return months_after(release.period.last, months)


def end_old(releases_dir: Path, months: int, signer: Signer, today: dt.date) -> list[SealedRelease]:
    """Remove the cells of releases whose time has passed; which. Killed anywhere, the next run completes it."""
    done = []
    for release in sealed.releases(releases_dir) if releases_dir.is_dir() else []:
        if today <= last_day(release, months) or not release.path.exists():
            continue
        statement = {
            "site": release.site,
            "period": str(release.period),
            "sha256": release.sha256,
            "ended": today.isoformat(),
            "reason": f"retention of {months} months",
        }
        if not note_path(release).exists():
            envelope = {"ended": statement, "key": signer.public_key, "signature": signer.sign(_bytes(statement))}
            sealed.write_once(note_path(release), sealed.canonical(envelope))
        release.path.unlink()
        done.append(release)
    return done


def is_ended(release: SealedRelease, trusted: Collection[str]) -> bool:
    """Whether a signed note by one of the keys says that the cells of this very release have ended."""
    try:
        envelope = json.loads(note_path(release).read_bytes())
        statement, key, signature = envelope["ended"], str(envelope["key"]), str(envelope["signature"])
        is_this = statement["sha256"] == release.sha256 and statement["period"] == str(release.period)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_this and key in trusted and is_signed(_bytes(statement), signature, key)


def _bytes(statement: dict[str, str]) -> bytes:
    return b"ended " + sealed.canonical(statement)  # no other statement that this key signs begins so
