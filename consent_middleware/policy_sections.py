"""The sections of privacy.toml as frozen values: what each key means, its unit, and its default.

Keys may be added by later versions; none is ever renamed. Unknown keys are refused, because a misspelled promise
would otherwise be silently not kept.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta, Struct

# A sentence in one language, or one sentence per language code.
Text = str | dict[str, str]

Regime = Literal["opt-in", "opt-out", "uk-statistics", "fr-audience"]
# Article 6(1) GDPR, and the exemption of Article 5(3) ePrivacy / PECR 6(4) for what a service asked for needs.
LawfulBasis = Literal[
    "consent",
    "contract",
    "legal-obligation",
    "vital-interests",
    "public-task",
    "legitimate-interests",
    "strictly-necessary",
]
GoogleSignal = Literal[
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
]
Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="a short lower-case id")]
Country = Annotated[str, Meta(pattern=r"^([A-Z]{2})?$", description="ISO 3166-1 alpha-2, or empty")]
Positive = Annotated[int, Meta(ge=1)]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections."""


class Controller(Section, frozen=True, kw_only=True):
    """Who answers for the processing."""

    name: Annotated[str, Meta(min_length=1)]
    address: str = ""
    contact: str = ""  # e-mail for questions, withdrawal and rights
    marketing_contact: str = ""  # e-mail to stop direct marketing; empty: `contact`
    security_contact: str = ""
    data_protection_officer: str = ""
    registration: str = ""  # with the authority or a company register
    supervisory_authority: str = ""
    complaints_url: str = ""


class Site(Section, frozen=True, kw_only=True):
    """The site that is wrapped."""

    hosts: tuple[str, ...] = ()
    languages: Annotated[tuple[str, ...], Meta(min_length=1)] = ("en",)
    trusted_proxies: tuple[str, ...] = ()  # addresses, networks or "unix" (a socket), whose headers are believed
    country_header: str = ""  # set by a trusted proxy, for example cf-ipcountry
    country_database: str = ""  # an operator's own .mmdb file; empty: the registry's countries
    prefix: str = "/_consent"
    insert: bool = True  # put banner and script into HTML pages
    cache: Literal["private", "friendly"] = "private"
    csp: Literal["enforce", "report", "off"] = "enforce"
    report_storage: bool = False  # pages report the names, never the values, of storage keys: `consent check --live`
    banner: Literal["bottom", "corner", "centre"] = "bottom"
    control: Literal["floating", "footer", "none"] = "floating"  # the permanent way back to the choices
    texts: dict[str, dict[str, str]] = {}  # language -> {English sentence: the site's own wording}
    hooks: str = ""  # the site's module with its @rights.provider classes; "none": the site keeps nothing about people
    clear_site_data: bool = False  # on a full withdrawal; takes the necessary storage too

    @property
    def site_id(self) -> str:
        """The name under which statistics of this site are kept: its first host without a port."""
        return self.site_ids[0]

    @property
    def site_ids(self) -> tuple[str, ...]:
        """Every host without its port, once each, the first one first; "localhost" where none is named."""
        return tuple(dict.fromkeys(host.partition(":")[0] for host in self.hosts)) or ("localhost",)


class Consent(Section, frozen=True, kw_only=True):
    """How consent is asked for, and for how long it holds."""

    lifetime_days: Annotated[int, Meta(ge=1, le=396)] = 182
    regimes: dict[str, Regime] = {}  # country ("US", or "US-CA") -> regime; key "default"
    honour_dnt: bool = False
    ledger: str = ""  # empty: SQLite in the data folder; or postgresql://...


class Purpose(Section, frozen=True, kw_only=True):
    """A category of processing that a visitor can agree to or not."""

    id: Identifier
    title: Text = ""
    description: Text = ""
    required: bool = False
    lawful_basis: LawfulBasis | Literal[""] = ""  # empty: strictly-necessary when required, else consent
    lifetime_days: Positive | None = None
    google_signals: tuple[GoogleSignal, ...] = ()
    without_it: Text = ""  # what does not work when this is refused

    @property
    def basis(self) -> str:
        return self.lawful_basis or ("strictly-necessary" if self.required else "consent")


class Cookie(Section, frozen=True, kw_only=True):
    """One cookie, storage key or pixel; `name` matches exactly or by `*`."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    purpose: str
    provider: str = ""
    description: Text = ""
    lifetime: str | int = "session"  # "session"; a number and a unit ("30 minutes", "13 months"); a number is days
    kind: Literal["http", "session", "local", "pixel"] = "http"
    domain: str = ""
    path: str = "/"


class Vendor(Section, frozen=True, kw_only=True):
    """A third party whose scripts, frames or pixels a page may hold."""

    name: Annotated[str, Meta(min_length=1)]
    purpose: str
    hosts: Annotated[tuple[str, ...], Meta(min_length=1)]
    role: Literal["processor", "third-party"] = "third-party"
    country: Country = ""
    safeguard: str = ""
    policy_url: str = ""


class Data(Section, frozen=True, kw_only=True):
    """What else the site processes: enquiries, membership, payments."""

    purpose: Text
    name: Text = ""
    categories: tuple[str, ...] = ()
    people: tuple[str, ...] = ()  # whose data it is: members, enquirers ...
    description: Text = ""
    lawful_basis: LawfulBasis = "legitimate-interests"
    retention: Text = ""
    source: Text = ""
    recipients: tuple[str, ...] = ()
    provider: str = ""  # the @rights.provider of the site that holds it
    keep_days: Positive | None = None  # its clock: the provider's `expire` is called with the day before which all goes
    statutory: bool = False  # needed for a service or by law
    without_it: Text = ""


class Capture(Section, frozen=True, kw_only=True):
    """What is recorded of a visit, and under which basis."""

    purpose: str = "analytics"  # the purpose whose grant allows statistics with a visitor id
    query_parameters: tuple[str, ...] = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "ref")
    interactions: bool | tuple[str, ...] = True  # all, none, or the named ones: engagement, outbound, download, ...
    without_consent: Literal["counts", "nothing", "daily-key"] = "counts"
    plausible: bool = False  # answer POST /api/event
    routes: tuple[str, ...] = ()  # the site's public paths, for releases without a threshold
    sitemap: str = ""
    exclude: tuple[str, ...] = ()  # path patterns that are never captured
    spool_max_mb: Positive = 1024
    spool_max_age_days: Positive = 14
    segment_mb: Positive = 32
    events_per_minute: Positive = 1200  # per address, for the event routes; an office shares one


class Retention(Section, frozen=True, kw_only=True):
    """How long each kind of record is kept."""

    raw_days: Positive = 35
    cells_months: Positive = 25
    consent_record_years: Positive = 7
    requests_years: Positive = 3
    disclosures_years: Positive = 7
    query_log_months: Positive = 13  # what staff asked of the internal reports


class CubeSpec(Section, frozen=True, kw_only=True):
    """A further cube that the owner declares: at most two keys."""

    name: Identifier
    keys: Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)]
    metrics: tuple[str, ...] = ("visitors", "pageviews")
    known: tuple[str, ...] = ()  # a closed list of keys; empty: a threshold decides
    clip: Annotated[float, Meta(gt=0)] | None = None
    share: Annotated[float, Meta(gt=0, le=1)] | None = None


class Anonymity(Section, frozen=True, kw_only=True):
    """The promise that every release keeps."""

    epsilon: Annotated[float, Meta(gt=0, le=20)] = 1.0
    delta: Annotated[float, Meta(gt=0, le=1e-3)] = 1e-6
    seal_after_hours: Annotated[int, Meta(ge=1)] = 48
    minimum_cell: Positive = 5
    tier: Literal["standard", "small"] = "standard"  # small: weekly totals and monthly small cubes, no paths
    shares: dict[str, float] = {}  # of the whole budget: by period ("day", "week", "month") or by cube name
    cubes: tuple[str | CubeSpec, ...] = ()  # names of built-in cubes and own ones; empty: the tier's


class Recipient(Section, frozen=True, kw_only=True):
    """Somebody who receives sealed releases."""

    name: Annotated[str, Meta(min_length=1)]
    role: Literal["processor", "third-party"] = "third-party"
    country: Country = ""
    safeguard: str = ""
    safeguard_until: dt.date | None = None
    cubes: tuple[str, ...] = ()  # empty: all of the release
    format: Literal["parquet", "csv", "json", "plausible"] = "parquet"
    where: str = ""  # a folder, https://, mailto:, s3:// or sftp://
    schedule: Literal["", "daily", "weekly", "monthly"] = ""
    regimes: tuple[Regime, ...] = ()
    allow_private: bool = False  # deliver to a private or loopback address too
    ca_file: str = ""  # an own certificate authority for https and s3; empty: the system's
    endpoint: str = ""  # of s3: the https address of the service; empty: Amazon's
    region: str = ""  # of s3
    host_key: str = ""  # of sftp: the server's public key, "ssh-ed25519 AAAA..."; empty: $SFTP_KNOWN_HOSTS
    secrets_file: str = ""  # a TOML file, mode 0600, with the keys of this recipient's door; empty: the environment


class Revision(Section, frozen=True, kw_only=True):
    """One line of the policy's history, for the page."""

    revision: Positive
    date: dt.date
    summary: Text = ""
