"""PrivacyPolicy: privacy.toml loaded, validated, and ready to be enforced.

Every error is one line that names the file, the key and the reason, and where it can be guessed, the way out:
`privacy.toml: cookie[3].purpose: "analytcs" is not a purpose (did you mean "analytics"?)`.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from consent_middleware import policy_checks
from consent_middleware.policy_errors import explain
from consent_middleware.policy_sections import (
    Anonymity,
    Capture,
    Consent,
    Controller,
    Cookie,
    Data,
    Positive,
    Purpose,
    Recipient,
    Retention,
    Revision,
    Section,
    Site,
    Text,
    Vendor,
)

MAX_POLICY_BYTES = 1_000_000
NECESSARY = "necessary"


class PolicyError(ValueError):
    """The policy file can't be used; the message, one line, names file, key and reason."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class File(Section, frozen=True, kw_only=True):
    """privacy.toml as it is written."""

    revision: Positive
    updated: dt.date
    controller: Controller
    site: Site = msgspec.field(default_factory=Site)
    consent: Consent = msgspec.field(default_factory=Consent)
    purpose: tuple[Purpose, ...] = ()
    cookie: tuple[Cookie, ...] = ()
    vendor: tuple[Vendor, ...] = ()
    data: tuple[Data, ...] = ()
    capture: Capture = msgspec.field(default_factory=Capture)
    retention: Retention = msgspec.field(default_factory=Retention)
    anonymity: Anonymity = msgspec.field(default_factory=Anonymity)
    recipient: tuple[Recipient, ...] = ()
    history: tuple[Revision, ...] = ()


class PrivacyPolicy(msgspec.Struct, frozen=True, dict=True):
    """The policy of one site. Sections are frozen values; lists of the file are tuples with plural names.

    A purpose `necessary` is implied when the file declares none that is required, since the consent cookie needs one.
    """

    revision: int
    updated: dt.date
    controller: Controller
    site: Site
    consent: Consent
    purposes: tuple[Purpose, ...]
    cookies: tuple[Cookie, ...]
    vendors: tuple[Vendor, ...]
    data: tuple[Data, ...]
    capture: Capture
    retention: Retention
    anonymity: Anonymity
    recipients: tuple[Recipient, ...]
    history: tuple[Revision, ...]
    source: str
    path: Path | None = None

    @classmethod
    def load(cls, path: str | Path) -> PrivacyPolicy:
        """Read and validate a policy file. Raises PolicyError."""
        path = Path(path)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise PolicyError(
                f"{path}: no such file (write one with `consent init`, or name it with --policy)"
            ) from None
        except OSError as error:
            raise PolicyError(f"{path}: can't be read: {error.strerror or error}") from None
        if len(raw) > MAX_POLICY_BYTES:
            raise PolicyError(f"{path}: {len(raw)} bytes; a policy file has at most {MAX_POLICY_BYTES}")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
        return cls.parse(text, name=str(path), path=path)

    @classmethod
    def parse(cls, text: str, *, name: str = "privacy.toml", path: Path | None = None) -> PrivacyPolicy:
        """Validate the text of a policy file; `name` stands in front of every error. Raises PolicyError."""
        # An editor may have put a byte order mark in front.
        text = text.removeprefix("\ufeff")
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PolicyError(f"{name}: not valid TOML: {error}") from None
        except RecursionError:
            raise PolicyError(f"{name}: not valid TOML: nested too deeply") from None
        try:
            file = msgspec.convert(_spell_bases(raw), File)
        except msgspec.ValidationError as error:
            raise PolicyError(f"{name}: {explain(error, raw, File)}") from None
        purposes = file.purpose
        if not any(purpose.required for purpose in purposes):
            if any(purpose.id == NECESSARY for purpose in purposes):
                raise PolicyError(f'{name}: purpose "{NECESSARY}": set required = true (or rename it)')
            purposes = (Purpose(id=NECESSARY, required=True), *purposes)
        policy = cls(
            revision=file.revision,
            updated=file.updated,
            controller=file.controller,
            site=file.site,
            consent=file.consent,
            purposes=purposes,
            cookies=file.cookie,
            vendors=file.vendor,
            data=file.data,
            capture=file.capture,
            retention=file.retention,
            anonymity=file.anonymity,
            recipients=file.recipient,
            history=file.history,
            source=text,
            path=path,
        )
        for problem in policy_checks.problems(policy, index_of_implied=len(purposes) - len(file.purpose)):
            raise PolicyError(f"{name}: {problem}")
        return policy

    @functools.cached_property
    def purposes_by_id(self) -> dict[str, Purpose]:
        return {purpose.id: purpose for purpose in self.purposes}

    def purpose(self, identifier: str) -> Purpose:
        """The purpose of that id. Raises KeyError."""
        return self.purposes_by_id[identifier]

    @functools.cached_property
    def required_purposes(self) -> frozenset[str]:
        return frozenset(purpose.id for purpose in self.purposes if purpose.required)

    @functools.cached_property
    def optional_purposes(self) -> frozenset[str]:
        return frozenset(purpose.id for purpose in self.purposes if not purpose.required)

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """What loads, but deserves a look: each names its key."""
        return tuple(policy_checks.warnings(self))

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits over what a visitor agreed to: purposes, their cookies, vendors, lifetimes, and the revision.

        A typo in a description changes nothing here; whoever changes a meaning by words alone raises `revision`.
        """
        material = {
            "revision": self.revision,
            "lifetime_days": self.consent.lifetime_days,
            "purposes": sorted(
                [p.id, p.required, p.basis, p.lifetime_days, sorted(p.google_signals)] for p in self.purposes
            ),
            "cookies": sorted([c.name, c.purpose, c.kind, c.lifetime, c.domain, c.path] for c in self.cookies),
            "vendors": sorted(
                [v.name, v.purpose, sorted(v.hosts), v.role, v.country, v.safeguard] for v in self.vendors
            ),
        }
        canonical = msgspec.json.encode(material, order="sorted")
        return hashlib.sha256(canonical).hexdigest()[:16]

    @staticmethod
    def text(value: Text, language: str, default: str = "en") -> str:
        """The sentence of `value` for `language`: exact code, then its base language, then `default`, then any."""
        if isinstance(value, str):
            return value
        for code in (language, language.partition("-")[0], default):
            if code in value:
                return value[code]
        return next(iter(value.values()), "")

    def title(self, purpose: Purpose, language: str = "en") -> str:
        return self.text(purpose.title, language, self.site.languages[0]) or purpose.id.replace("-", " ").capitalize()

    def regime_of(self, country: str) -> str:
        """The regime for a country (or country-region) code; an unknown country gets the strictest one there is."""
        regimes = self.consent.regimes
        for code in (country, country.partition("-")[0]):
            if code and code in regimes:
                return regimes[code]
        if not country and any(regime == "opt-in" for regime in regimes.values()):
            return "opt-in"
        return regimes.get("default", "opt-in")


def _spell_bases(raw: dict[str, Any]) -> dict[str, Any]:
    """A lawful basis may be written as lawyers do: "Legitimate interest", "legal_obligation"."""

    def spelled(entry: object) -> object:
        if not isinstance(entry, dict) or not isinstance(entry.get("lawful_basis"), str):
            return entry
        basis = "-".join(re.split(r"[\s_-]+", entry["lawful_basis"].strip().lower()))
        return {**entry, "lawful_basis": f"{basis}s" if basis.endswith("interest") else basis}

    return {
        key: [spelled(entry) for entry in value] if key in {"purpose", "data"} and isinstance(value, list) else value
        for key, value in raw.items()
    }
