"""One release to one recipient: checked, packed, delivered once, disclosed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analytics.anonymise import sealed
from analytics.anonymise.periods import Period
from analytics.anonymise.sealed import SealedRelease, SealError
from analytics.anonymise.signing import Signer, is_signed
from analytics.share import delivery, formats, recipients
from analytics.share.delivery import DeliveryFailed, Parcel
from analytics.share.outbox import Outbox
from analytics.share.recipients import ShareRefused
from consent_middleware.policy_sections import Recipient

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

Disclose = Callable[[Mapping[str, object]], object]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: delivered, already, waiting (try again after `next_at`) or dead."""

    recipient: str
    period: str
    state: str
    told: str
    next_at: str = ""


def read_release(releases_dir: Path, site: str, period: Period) -> SealedRelease:
    """A sealed release whose signature and hash hold. Raises ShareRefused."""
    path = releases_dir / site / f"{period.file_stem}.json"
    if not path.is_file():
        raise ShareRefused(f"{period} of {site} is not sealed: only sealed releases are shared")
    try:
        release = sealed.read_manifest(path)
        if not release.path.exists() and path.with_suffix(".ended").exists():
            raise ShareRefused(f"{period} of {site}: its cells have ended with retention.cells_months")
        envelope = json.loads(path.read_bytes())
        if not is_signed(sealed.canonical(release.manifest), str(envelope["signature"]), str(envelope["key"])):
            raise SealError(f"{path}: the signature does not fit the manifest")
        release.cells()
    except (SealError, OSError, KeyError) as error:
        raise ShareRefused(f"{period} of {site}: {error}") from None
    return release


def share(
    recipient: Recipient,
    release: SealedRelease,
    *,
    policy: PrivacyPolicy,
    outbox: Outbox,
    signer: Signer,
    disclose: Disclose,
    now: dt.datetime,
    cubes: tuple[str, ...] = (),
    force: bool = False,
) -> Outcome:
    """Deliver, then log the disclosure, then mark it done: killed anywhere, the next run ends with exactly one copy.

    `force` ignores the time of the next attempt. Raises ShareRefused.
    """
    recipients.check(recipient, now.date())
    if not recipient.where:
        raise ShareRefused(f"{recipient.name}: recipient.where is empty: name a folder, https:, mailto:, s3: or sftp:")
    cells = recipients.theirs(recipient, release, release.cells(), cubes)
    try:
        files = formats.package(release, cells, recipient.format)
    except ValueError as error:
        raise ShareRefused(f"{recipient.name}: {error}") from None
    digest = hashlib.sha256(formats.archive(files)).hexdigest()
    key = delivery.parcel_key(recipient.name, recipient.where, release.site, str(release.period), digest)
    letter = outbox.letter(key, recipient.name, release.site, str(release.period))

    def outcome(state: str, told: str, next_at: str = "") -> Outcome:
        return Outcome(recipient=recipient.name, period=str(release.period), state=state, told=told, next_at=next_at)

    if letter.state == "delivered":
        return outcome("already", letter.told)
    if letter.state == "dead":
        return outcome("dead", letter.told)
    if letter.next_at and not force and dt.datetime.fromisoformat(letter.next_at) > now:
        return outcome("waiting", letter.told, letter.next_at)
    parcel = Parcel(
        key=key,
        where=recipient.where,
        site=release.site,
        stem=release.period.file_stem,
        files=files,
        base=policy.path.parent if policy.path else Path(),
        allow_private=recipient.allow_private,
        ca_file=recipient.ca_file,
        endpoint=recipient.endpoint,
        region=recipient.region,
        host_key=recipient.host_key,
        secrets_file=recipient.secrets_file,
    )
    try:
        told = delivery.deliver(parcel, signer)
    except DeliveryFailed as error:
        letter = outbox.failed(letter, str(error), now, temporary=error.temporary)
        return outcome(letter.state, str(error), letter.next_at)
    disclose(
        {
            "at": now.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "recipient": recipient.name,
            "role": recipient.role,
            "country": recipient.country,
            "safeguard": recipient.safeguard,
            "site": release.site,
            "period": str(release.period),
            "sealed_sha256": release.sha256,
            "delivered_sha256": digest,
            "format": recipient.format,
            "cubes": sorted({cell.cube for cell in cells}),
            "where": delivery.shown(recipient.where),
            "answer": told,
        }
    )
    outbox.delivered(key, told)
    return outcome("delivered", told)


def due(recipient: Recipient, releases: list[SealedRelease]) -> Iterator[SealedRelease]:
    """The releases that the recipient's schedule names; what was delivered already is found by its letter."""
    kind = recipients.KINDS.get(recipient.schedule)
    return (r for r in releases if kind is not None and r.period.kind == kind and r.path.exists())
