"""Drafts a privacy.toml: a commented starter file, or one that names what a browser saw on a site."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import defaultdict

from consent_middleware.inventory import clean, matches
from consent_middleware.known_parties import known_party
from consent_middleware.sighting import OWN_COOKIES, SeenCookie, Sighting
from consent_middleware.toml_writing import Value, toml_table, toml_value
from consent_middleware.vendors import is_google_tag, registrable_domain

DAY_S = 86_400
_UNFIT = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]")
_RUN_OF_STARS = re.compile(r"\*{2,}")
# First-party names that say what they are; everything else is proposed as optional, for a person to decide.
_KNOWN_NAMES = (
    ("necessary", "*session*", "Keeps you signed in, or your form together, while you visit."),
    ("necessary", "*sessid*", "Keeps you signed in, or your form together, while you visit."),
    ("necessary", "*csrf*", "Protects forms against being sent by another site."),
    ("necessary", "*xsrf*", "Protects forms against being sent by another site."),
    ("analytics", "_ga*", "Tells visitors apart for Google Analytics."),
    ("analytics", "_gid", "Tells visitors apart for Google Analytics."),
    ("analytics", "_gat*", "Limits how often Google Analytics is asked."),
    ("analytics", "_pk_*", "Tells visitors and visits apart for Matomo."),
    ("analytics", "_hj*", "Tells visits apart for Hotjar."),
    ("analytics", "_cl*k", "Tells visitors apart for Microsoft Clarity."),
    ("marketing", "_fb*", "Recognises visitors for Meta's advertising."),
    ("marketing", "_gcl_*", "Attributes visits to Google's advertisements."),
    ("marketing", "_uet*", "Attributes visits to Microsoft's advertisements."),
)
_PURPOSES: dict[str, dict[str, Value]] = {
    "necessary": {"title": "Necessary", "description": "Needed for what you ask this site to do.", "required": True},
    "functional": {"title": "Comfort", "description": "Remembers settings and fills in what you entered before."},
    "preferences": {"title": "Preferences", "description": "Remembers how you like the site to be shown."},
    "analytics": {"title": "Statistics", "description": "Counts visits, so that we see which pages are of use."},
    "external": {"title": "External content", "description": "Shows content that other companies provide."},
    "marketing": {"title": "Marketing", "description": "Lets other companies recognise you for advertising."},
}
_SIGNALS: dict[str, tuple[str, ...]] = {
    "analytics": ("analytics_storage",),
    "marketing": ("ad_storage", "ad_user_data", "ad_personalization"),
}
_HEAD = """\
# The privacy policy of a site, as a file that the software enforces. `consent check` says what is wrong with it.
# Whatever is not declared here is not set, not sent and not loaded.

revision = 1                  # raise it when a meaning changes by words alone: everybody is asked again
updated = {today}

[controller]                  # who answers for the processing
name = {name}
address = ""                  # postal address
contact = {contact}
supervisory_authority = ""    # where to complain, for example "Information Commissioner's Office"

[site]
hosts = {hosts}
languages = ["en"]
csp = "{csp}"                # "report" counts what would be blocked; change to "enforce" when nothing is missing

[consent]
lifetime_days = 182           # how long a choice holds, yes or no
regimes = {{ default = "opt-in" }}

[retention]
raw_days = 35
cells_months = 25
consent_record_years = 7

"""


def starter(today: dt.date | None = None) -> str:
    """A commented file that loads as it stands, to be filled in by hand."""
    text = _head("example.com", today, csp="enforce")
    text += _purposes({"analytics"}, google=False)
    text += toml_table(
        "cookie",
        {
            "name": "session",
            "purpose": "necessary",
            "description": "Keeps you signed in while you visit.",
            "lifetime": "session",
        },
        "One entry for each cookie. A * stands for any characters: _pk_id.*",
    )
    vendor: dict[str, Value] = {
        "name": "Example Video",
        "purpose": "marketing",
        "hosts": ("video.example",),
        "country": "IE",
    }
    text += "\n# One entry for each third party whose scripts, frames or images your pages hold, as in\n#\n"
    return text + "".join(f"# {line}\n" for line in toml_table("vendor", vendor).splitlines())


def draft(sighting: Sighting, today: dt.date | None = None) -> str:
    """A file that declares what was seen; purposes are proposals, marked where a person has to decide."""
    cookies = [_cookie(cookie, sighting) for cookie in sighting.cookies if cookie.name not in OWN_COOKIES]
    keys = [_key(area, key) for area, key in sighting.storage]
    vendors = _vendors(sighting)
    declared = [str(values["purpose"]) for values, _ in (*cookies, *keys, *vendors)]
    text = _head(sighting.host, today, csp="report")
    text += _purposes(set(declared), google=any(is_google_tag(host) for host in sighting.hosts))
    for name, entries in (("cookie", [*cookies, *keys]), ("vendor", vendors)):
        seen: set[tuple[Value, Value]] = set()
        for values, comment in entries:
            identity = (values["name"], values.get("kind", ""))
            if identity not in seen and str(values["name"]).strip("*"):
                seen.add(identity)
                text += toml_table(name, values, comment) + "\n"
    return text


def _head(host: str, today: dt.date | None, csp: str) -> str:
    return _HEAD.format(
        today=(today or dt.datetime.now(dt.UTC).date()).isoformat(),
        name=toml_value(f"The owner of {host}"),
        contact=toml_value(f"privacy@{registrable_domain(host)}"),
        hosts=toml_value((host,)),
        csp=csp,
    )


def _purposes(used: set[str], *, google: bool) -> str:
    text = ""
    for name, values in _PURPOSES.items():
        if name == "necessary" or name in used:
            signals: dict[str, Value] = {"google_signals": _SIGNALS[name]} if google and name in _SIGNALS else {}
            text += toml_table("purpose", {"id": name, **values, **signals}) + "\n"
    return text


def _guess(name: str) -> tuple[str, str, str]:
    """(purpose, description, comment) for a first-party name."""
    for purpose, pattern, description in _KNOWN_NAMES:
        if matches(pattern, name.lower()):
            return purpose, description, ""
    return "functional", "", "Check: what is this for? The purpose is a guess."


def _cookie(cookie: SeenCookie, sighting: Sighting) -> tuple[dict[str, Value], str]:
    party = known_party(cookie.domain)
    foreign = registrable_domain(cookie.domain) != registrable_domain(sighting.host)
    if foreign:
        purpose = party.purpose if party else "external"
        description, comment = "", "Check: set by a third party. The purpose is a guess."
    else:
        purpose, description, comment = _guess(cookie.name)
    values: dict[str, Value] = {"name": _pattern(cookie.name), "purpose": purpose}
    if foreign:
        values["provider"] = party.name if party else cookie.domain
        values["domain"] = cookie.domain
    values |= {"description": description, "lifetime": _lifetime(cookie.lifetime_s)}
    return values, comment


def _key(area: str, key: str) -> tuple[dict[str, Value], str]:
    purpose, description, comment = _guess(key)
    values: dict[str, Value] = {"name": _pattern(key), "kind": area, "purpose": purpose, "description": description}
    return values | {"lifetime": "session" if area == "session" else "1 year"}, comment


def _vendors(sighting: Sighting) -> list[tuple[dict[str, Value], str]]:
    hosts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for host in sighting.hosts:
        if registrable_domain(host) == registrable_domain(sighting.host):
            continue
        party = known_party(host)
        hosts[(party.name, party.purpose) if party else (registrable_domain(host), "external")].add(host)
    return [
        (
            {"name": name, "purpose": purpose, "hosts": tuple(sorted(found)), "country": ""},
            "Check: who is this, what for, in which country, under which safeguard?",
        )
        for (name, purpose), found in sorted(hosts.items())
    ]


def _pattern(name: str) -> str:
    """A name as a declaration: what may identify a visitor, or no declaration can hold, becomes a `*`."""
    return _RUN_OF_STARS.sub("*", _UNFIT.sub("*", clean(name)))


def _lifetime(seconds: float | None) -> str:
    if seconds is None:
        return "session"
    return f"{max(1, math.ceil(seconds / DAY_S))} days"
