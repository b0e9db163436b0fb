"""What must hold between the keys of privacy.toml; pure. Each problem is one sentence that begins with its key."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from consent_middleware.transfers import refuse_transfer

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

OWN_COOKIES = ("__Host-consent", "__Host-visitor", "consent", "visitor")
MAX_VISITOR_DAYS = 396  # 13 months: CNIL 2020-092, and the promise for the visitor cookie
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}
UNIT_NAMES = {
    "second": {"s", "sec", "secs", "second", "seconds"},
    "minute": {"min", "mins", "minute", "minutes"},
    "hour": {"h", "hour", "hours"},
    "day": {"d", "day", "days"},
    "week": {"w", "week", "weeks"},
    "month": {"mo", "month", "months"},
    "year": {"y", "year", "years"},
}
ISO_DURATION = re.compile(
    r"p(?!$)(?:(?P<year>\d+)y)?(?:(?P<month>\d+)m)?(?:(?P<week>\d+)w)?(?:(?P<day>\d+)d)?"
    r"(?:t(?:(?P<hour>\d+)h)?(?:(?P<minute>\d+)m)?(?:(?P<second>\d+)s)?)?"
)
LONGEST_PERIOD_DAYS = {"standard": 31, "small": 31}
# What a release holds when `anonymity.cubes` names nothing, by tier; a test compares with what is really sealed.
CUBES = {
    "standard": (
        "total", "path", "entry-page", "exit-page", "source", "channel", "campaign", "country", "language", "browser",
        "os", "device", "weekday-hour", "visit-length", "event",
    ),
    "small": ("total", "channel", "country", "device", "visit-length"),
}  # fmt: skip
# By what an own cube can count, and what; the same test.
CUBE_KEYS = tuple(name for name in CUBES["standard"] if name != "total")
CUBE_METRICS = ("visitors", "visits", "pageviews", "events", "bounces")
PERIODS = ("day", "week", "month")
COOKIE_NAME = re.compile(r"^[!#$%&'*+\-.0-9A-Z^_`a-z|~]+$")  # RFC 9110 token; `*` is our wildcard too
LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
HOST = re.compile(r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d+)?$|^\[[0-9A-Fa-f:]+\](:\d+)?$")


def lifetime_seconds(lifetime: str | int) -> int | None:
    """None for `session`; else seconds: "13 months", "1 year", "30 min", "182 d", ISO 8601 ("P13M"), a number of days.

    Raises ValueError for anything else.
    """
    if isinstance(lifetime, int):
        return lifetime * SECONDS["day"]
    lowered = lifetime.strip().lower()
    if lowered in {"session", ""}:
        return None
    if match := ISO_DURATION.fullmatch(lowered):
        parts = {unit: int(amount) for unit, amount in match.groupdict().items() if amount}
    elif match := re.fullmatch(r"(\d+)\s*([a-z]+)", lowered):
        unit = next((unit for unit, names in UNIT_NAMES.items() if match.group(2) in names), "")
        parts = {unit: int(match.group(1))} if unit else {}
    else:
        parts = {}
    if not parts:
        raise ValueError(f'"{lifetime}" is not a lifetime: write "session", or a number and a unit such as "13 months"')
    return sum(amount * SECONDS[unit] for unit, amount in parts.items())


def problems(policy: PrivacyPolicy, *, index_of_implied: int = 0) -> Iterator[str]:
    """What is wrong with the file, most basic first."""
    yield from _site(policy)
    yield from _purposes(policy, index_of_implied)
    yield from _cookies(policy)
    yield from _vendors(policy)
    yield from _capture_and_retention(policy)
    yield from _anonymity(policy)
    yield from _recipients(policy)


def warnings(policy: PrivacyPolicy) -> Iterator[str]:
    """What loads, but deserves a look."""
    for key in ("address", "contact", "supervisory_authority"):
        if not getattr(policy.controller, key):
            yield f"controller.{key}: empty; the policy page has to name it"
    if not policy.site.hosts:
        yield "site.hosts: empty; any Host header is taken for this site"
    for index, cookie in enumerate(policy.cookies):
        if policy.purpose(cookie.purpose).required and not cookie.description:
            yield f"cookie[{index}].description: a necessary cookie needs a written reason"
    for index, purpose in enumerate(policy.purposes):
        if not purpose.description:
            yield f'purpose "{purpose.id}" ({index}): no description; visitors can\'t know what they agree to'
    for index, vendor in enumerate(policy.vendors):
        if not vendor.country:
            yield f"vendor[{index}].country: empty; whether data leaves the EEA and the UK can't be told"
    for index, recipient in enumerate(policy.recipients):
        if recipient.schedule and not recipient.where:
            yield f'recipient[{index}] "{recipient.name}": a schedule, but an empty where; nothing can be delivered'
    yield from _words_that_no_page_uses(policy)


def _words_that_no_page_uses(policy: PrivacyPolicy) -> Iterator[str]:
    """A later version may reword a sentence of ours: that must not stop a site, so it is no error."""
    if not policy.site.texts:
        return
    from consent_middleware.pages.catalogue import sentences

    offered = {language.partition("-")[0] for language in policy.site.languages}
    for language, texts in policy.site.texts.items():
        if language.partition("-")[0] not in offered:
            yield f"site.texts.{language}: not one of site.languages, so nobody reads it"
        for sentence in texts:
            if sentence not in sentences():
                near = difflib.get_close_matches(sentence, sentences(), n=1)
                way_out = f' (did you mean "{near[0]}"?)' if near else ""
                yield f'site.texts.{language}."{sentence}": no page has this sentence{way_out}'


def _not_a_purpose(policy: PrivacyPolicy, name: str) -> str | None:
    known = [purpose.id for purpose in policy.purposes]
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    return f'"{name}" is not a purpose ' + (
        f'(did you mean "{near[0]}"?)'
        if near
        else f'(declare it with [[purpose]] id = "{name}"; known: {", ".join(known)})'
    )


def _site(policy: PrivacyPolicy) -> Iterator[str]:
    site = policy.site
    for index, host in enumerate(site.hosts):
        if not HOST.match(host):
            yield f'site.hosts[{index}]: "{host}" is not a host name (no scheme, no path)'
    for index, language in enumerate(site.languages):
        if not LANGUAGE.match(language):
            yield f'site.languages[{index}]: "{language}" is not a language code such as "en" or "pt-BR"'
    for index, proxy in enumerate(site.trusted_proxies):
        if proxy == "unix":  # whoever comes over a socket has no address
            continue
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            yield f'site.trusted_proxies[{index}]: "{proxy}" is not an address, a network ("10.0.0.0/8") or "unix"'
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", site.prefix):
        yield f'site.prefix: "{site.prefix}" is not a path such as "/_consent" (no slash at the end)'
    if site.country_header and not site.trusted_proxies:
        yield "site.country_header: nobody is trusted to set it; name the proxy in site.trusted_proxies"
    for language, texts in site.texts.items():
        for sentence, own in texts.items():
            if problem := _own_words(sentence, own):
                yield f'site.texts.{language}."{sentence}": {problem}'


def _own_words(sentence: str, own: str) -> str:
    """What is wrong with a site's own wording of one of our sentences: a page must not fail over it."""
    if not own.strip():
        return "empty; leave the line out to keep our sentence"
    wanted, held = set(PLACEHOLDER.findall(sentence)), set(PLACEHOLDER.findall(own))
    # "in one day" may say the number in words.
    if missing := sorted(wanted - held - {"n"}):
        return f"lacks the placeholder %({missing[0]})s"
    if unknown := sorted(held - wanted):
        return f"has a placeholder %({unknown[0]})s that our sentence does not have"
    if "%" in PLACEHOLDER.sub("", own).replace("%%", "") and wanted:
        return "has a % that belongs to no placeholder; write %% for the sign"
    return ""


def _purposes(policy: PrivacyPolicy, index_of_implied: int) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, purpose in enumerate(policy.purposes):
        written = index - index_of_implied
        if purpose.id in seen:
            yield f'purpose[{written}].id: "{purpose.id}" is declared twice (first in purpose[{seen[purpose.id]}])'
        seen[purpose.id] = written
        if not purpose.required and purpose.basis != "consent":
            yield (
                f'purpose[{written}].lawful_basis: "{purpose.basis}" for a purpose that is not required: '
                'a purpose that visitors choose rests on "consent"'
            )
        if purpose.required and purpose.basis == "consent":
            yield f'purpose[{written}].lawful_basis: "consent" can\'t be required: whoever is asked may refuse'


def _cookies(policy: PrivacyPolicy) -> Iterator[str]:
    seen: dict[tuple[str, str], int] = {}
    for index, cookie in enumerate(policy.cookies):
        if problem := _not_a_purpose(policy, cookie.purpose):
            yield f"cookie[{index}].purpose: {problem}"
            continue
        store = cookie.kind if cookie.kind in {"session", "local"} else "cookie"
        if (cookie.name, store) in seen:
            first = seen[cookie.name, store]
            yield f'cookie[{index}].name: "{cookie.name}" is declared twice (first in cookie[{first}])'
        seen[cookie.name, store] = index
        if store == "cookie" and not COOKIE_NAME.match(cookie.name):
            yield f'cookie[{index}].name: "{cookie.name}" has a character that no cookie name may have'
        if store == "cookie" and cookie.name in OWN_COOKIES:
            yield f'cookie[{index}].name: "{cookie.name}" is the middleware\'s own cookie; it is declared already'
        if not cookie.path.startswith("/"):
            yield f'cookie[{index}].path: "{cookie.path}" has to begin with "/"'
        if cookie.domain and not HOST.match(cookie.domain.lstrip(".")):
            yield f'cookie[{index}].domain: "{cookie.domain}" is not a host name'
        try:
            lifetime_seconds(cookie.lifetime)
        except ValueError as error:
            yield f"cookie[{index}].lifetime: {error}"


def _vendors(policy: PrivacyPolicy) -> Iterator[str]:
    for index, vendor in enumerate(policy.vendors):
        if problem := _not_a_purpose(policy, vendor.purpose):
            yield f"vendor[{index}].purpose: {problem}"
        for number, host in enumerate(vendor.hosts):
            if not HOST.match(host):
                yield f'vendor[{index}].hosts[{number}]: "{host}" is not a host name (no scheme, no path)'
        if problem := refuse_transfer(vendor.country, vendor.safeguard):
            yield f'vendor[{index}] "{vendor.name}": {problem}'


def _capture_and_retention(policy: PrivacyPolicy) -> Iterator[str]:
    if policy.capture.without_consent == "daily-key" and not set(policy.consent.regimes.values()) & {
        "uk-statistics",
        "fr-audience",
        "opt-out",
    }:
        yield (
            'capture.without_consent: "daily-key" needs a regime that allows it '
            "(uk-statistics, fr-audience or opt-out in consent.regimes)"
        )
    purpose = policy.purposes_by_id.get(policy.capture.purpose)
    if purpose is not None and purpose.required:
        yield f'capture.purpose: "{purpose.id}" is required; statistics with an identifier rest on a choice'
    if "fr-audience" in policy.consent.regimes.values() and policy.retention.cells_months > 25:
        yield "retention.cells_months: more than 25; the fr-audience exemption ends there"


def _anonymity(policy: PrivacyPolicy) -> Iterator[str]:
    anonymity, retention = policy.anonymity, policy.retention
    needed = LONGEST_PERIOD_DAYS[anonymity.tier] + -(-anonymity.seal_after_hours // 24)
    if retention.raw_days < needed:
        yield (
            f"retention.raw_days: {retention.raw_days} is shorter than the longest period plus the seal's delay "
            f"({LONGEST_PERIOD_DAYS[anonymity.tier]} + {needed - LONGEST_PERIOD_DAYS[anonymity.tier]} days): "
            f"a month could never be sealed; set at least {needed}"
        )
    for key, share in anonymity.shares.items():
        if not 0 <= share <= 1:
            yield f"anonymity.shares.{key}: {share} is not a share between 0 and 1"
    periods = sum(anonymity.shares.get(period, 0.0) for period in PERIODS)
    if periods > 1 + 1e-9:
        yield f"anonymity.shares: day, week and month add up to {periods:g}; the whole budget is 1"
    names = [cube if isinstance(cube, str) else cube.name for cube in anonymity.cubes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f'anonymity.cubes[{index}]: "{name}" is declared twice'
    yield from _cube_names(policy)


def _cube_names(policy: PrivacyPolicy) -> Iterator[str]:
    """Misspelt here, a name would be found out when the first period is to be sealed, days later."""
    for index, cube in enumerate(policy.anonymity.cubes):
        if isinstance(cube, str):
            if cube not in CUBES["standard"]:
                yield f"anonymity.cubes[{index}]: {_unknown(cube, 'a cube', CUBES['standard'])}"
            continue
        for key in cube.keys:
            if key not in CUBE_KEYS:
                yield f"anonymity.cubes[{index}].keys: {_unknown(key, 'a key', CUBE_KEYS)}"
        for metric in cube.metrics:
            if metric not in CUBE_METRICS:
                yield f"anonymity.cubes[{index}].metrics: {_unknown(metric, 'a metric', CUBE_METRICS)}"
    shared = (*PERIODS, *_sealed_cubes(policy))
    for key in policy.anonymity.shares:
        if key not in shared:
            yield f"anonymity.shares.{key}: {_unknown(key, 'a period or a cube that is sealed', shared)}"


def _unknown(name: str, what: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f'"{name}" is not {what} ' + (f'(did you mean "{near[0]}"?)' if near else f"(known: {', '.join(known)})")


def _recipients(policy: PrivacyPolicy) -> Iterator[str]:
    seen: set[str] = set()
    sealed = _sealed_cubes(policy)
    for index, recipient in enumerate(policy.recipients):
        if recipient.name in seen:
            yield f'recipient[{index}].name: "{recipient.name}" is declared twice'
        seen.add(recipient.name)
        if problem := refuse_transfer(recipient.country, recipient.safeguard):
            yield f'recipient[{index}] "{recipient.name}": {problem}'
        for number, cube in enumerate(recipient.cubes):
            if cube not in sealed:
                yield f"recipient[{index}].cubes[{number}]: {_not_a_cube(cube, sealed)}"


def _sealed_cubes(policy: PrivacyPolicy) -> tuple[str, ...]:
    """The names of the cubes that a release of this policy holds; the total is in every one."""
    named = tuple(cube if isinstance(cube, str) else cube.name for cube in policy.anonymity.cubes)
    return tuple(dict.fromkeys(("total", *named))) if named else CUBES[policy.anonymity.tier]


def _not_a_cube(name: str, sealed: tuple[str, ...]) -> str:
    if name in CUBES["standard"]:
        return f'"{name}" is not sealed: add it to anonymity.cubes (sealed are: {", ".join(sealed)})'
    near = difflib.get_close_matches(name, sealed, n=1)
    return f'"{name}" is not a cube ' + (
        f'(did you mean "{near[0]}"?)' if near else f"(sealed are: {', '.join(sealed)})"
    )
