"""Who may receive which cells of a release, or the reason why not. Pure."""

from __future__ import annotations

import datetime as dt

from analytics.anonymise.sealed import Cell, SealedRelease
from consent_middleware.policy_sections import Recipient
from consent_middleware.transfers import refuse_transfer

# Statistics under these exemptions stay with the publisher and its processors.
PROCESSORS_ONLY = frozenset({"uk-statistics", "fr-audience"})
KINDS = {"daily": "day", "weekly": "week", "monthly": "month"}


class ShareRefused(Exception):
    """A recipient may not receive this; the message says why."""


def check(recipient: Recipient, today: dt.date) -> None:
    """Whether anything may go there at all. Raises ShareRefused."""
    name = recipient.name
    if reason := refuse_transfer(recipient.country, recipient.safeguard):
        raise ShareRefused(f"{name}: {reason}")
    if recipient.safeguard_until is not None and recipient.safeguard_until < today:
        raise ShareRefused(
            f"{name}: its safeguard ({recipient.safeguard or 'none named'}) ended on {recipient.safeguard_until}; "
            "renew it and write the new date into recipient.safeguard_until"
        )
    forbidding = PROCESSORS_ONLY & set(recipient.regimes)
    if recipient.role == "third-party" and forbidding:
        raise ShareRefused(
            f"{name}: under {sorted(forbidding)[0]} statistics go to processors only, not to third parties"
        )
    if recipient.regimes and "opt-in" not in recipient.regimes:
        raise ShareRefused(
            f"{name}: releases hold rows captured with consent (opt-in); its regimes are {', '.join(recipient.regimes)}"
        )


def theirs(recipient: Recipient, release: SealedRelease, cells: list[Cell], wanted: tuple[str, ...] = ()) -> list[Cell]:
    """The cells of the cubes that are theirs. Raises ShareRefused for a cube that is asked for and is not."""
    allowed = set(recipient.cubes)
    for cube in wanted:
        if allowed and cube not in allowed:
            raise ShareRefused(f'{recipient.name}: the cube "{cube}" is not theirs (recipient.cubes)')
        if cube not in {m["cube"] for m in release.manifest["measurements"]}:
            raise ShareRefused(f'{recipient.name}: {release.period} has no cube "{cube}"')
    chosen = set(wanted) or allowed
    return [cell for cell in cells if not chosen or cell.cube in chosen]
