"""The gate: which cookies pass, in raw header bytes; pure functions over a policy's declarations.

A name that the policy does not declare does not pass, nor does one whose purpose was not granted. What passes keeps
its bytes and its order.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from publicsuffixlist import PublicSuffixList

from consent_middleware import set_cookie
from consent_middleware.bounded import BoundedCache
from consent_middleware.declared import Declared, FilteredCookie
from consent_middleware.policy_checks import lifetime_seconds
from consent_middleware.request_cookies import NOTHING, WSP, Named, RequestCookies, Shape
from consent_middleware.token import consent_cookie_name, visitor_cookie_name

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

# An Expires date is written in whole seconds by another clock.
DATE_TOLERANCE_SECONDS: Final = 60
# A response that deletes many cookies still has to fit into the 4 to 8 kB that proxies allow for headers.
MAX_EXPIRY_BYTES: Final = 3000
REMEMBERED_NAMES: Final = 4096
REMEMBERED_NAME_BYTES: Final = 128
EQUALS: Final = ord("=")  # to look for a number is ten times as fast as to look for bytes
REMEMBERED_SHAPES: Final = 1024
REMEMBERED_SHAPES_BYTES: Final = 1_000_000
SHAPE_BYTES: Final = 1000  # what a shape takes beside its names, and
NAMED_BYTES: Final = 200  # for each of them

_HOST_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class CookieRules:
    """The declared cookies, found by name: exact names first, then the longest pattern that matches."""

    def __init__(self, policy: PrivacyPolicy, *, secure: bool) -> None:
        necessary = next(iter(sorted(policy.required_purposes)))
        self.secure = secure
        self.consent = Declared(consent_cookie_name(secure).encode(), necessary, None, own=True)
        self.visitor = Declared(visitor_cookie_name(secure).encode(), policy.capture.purpose, None, own=True)
        self._exact = {rule.name: rule for rule in (self.consent, self.visitor)}
        patterns = []
        for cookie in policy.cookies:
            if cookie.kind in {"session", "local"}:
                continue
            name = cookie.name.encode()
            rule = Declared(name, cookie.purpose, lifetime_seconds(cookie.lifetime), cookie.domain, cookie.path)
            if b"*" in name:
                patterns.append((len(name), re.compile(re.escape(name).replace(rb"\*", b".*"), re.DOTALL), rule))
            else:
                self._exact[name] = rule
        self._patterns = [(pattern.fullmatch, rule) for _, pattern, rule in sorted(patterns, key=lambda p: -p[0])]
        self._remembered: dict[bytes, Declared | None] = {}
        self._shapes: BoundedCache[bytes, Shape] = BoundedCache(entries=REMEMBERED_SHAPES, size=REMEMBERED_SHAPES_BYTES)

    def find(self, name: bytes) -> Declared | None:
        """The declaration of a cookie, or None: nobody declared it."""
        try:
            return self._remembered[name]
        except KeyError:
            found = self._exact.get(name) or next((rule for match, rule in self._patterns if match(name)), None)
            if len(name) <= REMEMBERED_NAME_BYTES and len(self._remembered) < REMEMBERED_NAMES:
                self._remembered[name] = found
            return found

    def name(self, segment: bytes) -> Named:
        """Whose cookie a segment of a Cookie header is. One without `=` is a nameless cookie."""
        name, equals, _ = segment.partition(b"=")
        name = name.strip(WSP)
        if equals:
            return name, self.find(name)
        return b"", self.find(b"") if name else NOTHING

    def read(self, header: bytes) -> RequestCookies:
        """A Cookie header, each of its segments with its name and declaration."""
        segments = header.split(b";")
        # One run of bytes is found faster than many. Spaces belong to it; no name holds an `=`, which says: no name.
        key = b";".join(
            [part.partition(b"=")[0] if EQUALS in part else b"=" if part.strip(WSP) else b"==" for part in segments]
        )
        shape = self._shapes[key]
        if shape is None:
            shape = Shape([self.name(segment) for segment in segments])
            self._shapes.put(key, shape, SHAPE_BYTES + NAMED_BYTES * len(segments) + 2 * len(key))
        return RequestCookies(header, segments, shape)

    def exact(self) -> Iterable[Declared]:
        """The declarations without a wildcard, our own cookies aside."""
        return (rule for rule in self._exact.values() if not rule.own)


def cookie_pairs(header: bytes) -> list[tuple[bytes, bytes]]:
    """(name, value) of each cookie of a Cookie header, in order. Without `=` it is all value, and has no name."""
    pairs = []
    for segment in header.split(b";"):
        name, equals, value = segment.partition(b"=")
        if equals:
            pairs.append((name.strip(WSP), value.strip(WSP)))
        elif name.strip(WSP):
            pairs.append((b"", name.strip(WSP)))
    return pairs


def filter_set_cookie(value: bytes, rules: CookieRules, allowed: Set[str], now: float) -> FilteredCookie:
    """Let a Set-Cookie header pass, cut its lifetime to the declared one, or drop it.

    Reasons: control-character, own-cookie, undeclared, not-granted (dropped); lifetime-cut (changed); and what
    set_cookie.rejected_by_browsers names (passed as it is, since browsers drop it anyway).
    """
    if len(value.translate(None, set_cookie.CONTROL_CHARACTERS)) != len(value):
        return FilteredCookie(None, set_cookie.split(value)[0], "control-character")
    name, content, tail = set_cookie.split(value)
    attributes = set_cookie.attributes(tail)
    max_age, expires = attributes.max_age, attributes.expires
    lifetime = max_age if max_age is not None or expires is None else expires - now
    if lifetime is not None and lifetime <= 0:
        return FilteredCookie(value, name)
    declared = rules.find(name)
    if declared is None:
        return FilteredCookie(None, name, "undeclared")
    if declared.own:
        return FilteredCookie(None, name, "own-cookie")
    if declared.purpose not in allowed:
        return FilteredCookie(None, name, "not-granted")
    if lifetime is not None:
        tolerance = 0 if max_age is not None else DATE_TOLERANCE_SECONDS
        if declared.lifetime is None or lifetime > declared.lifetime + tolerance:
            return FilteredCookie(set_cookie.with_lifetime(value, declared.lifetime), name, "lifetime-cut")
    return FilteredCookie(value, name, set_cookie.rejected_by_browsers(name, content, attributes, secure=rules.secure))


def expire(
    policy: PrivacyPolicy,
    *,
    names: Iterable[bytes],
    purposes: Set[str] | None,
    host: str,
    secure: bool,
    undeclared: bool = False,
) -> list[bytes]:
    """Set-Cookie values that delete the withdrawn cookies: of `purposes`, or of all optional ones when None.

    `names` are those that the browser sent. Exactly declared cookies of another path are deleted unseen, because a
    browser does not send them here. A deletion must repeat Domain and Path, which requests don't tell: so each name
    is deleted for this host, for its parents below the public suffix, and for what the declaration says.
    Names that nobody declared may belong to another site under the same domain: they go only when `undeclared`.
    """
    rules = CookieRules(policy, secure=secure)
    withdrawn = policy.optional_purposes if purposes is None else purposes
    targets: dict[bytes, None] = {}
    for name in names:
        declared = rules.find(name)
        if declared.purpose in withdrawn if declared else undeclared and name:
            targets[name] = None
    for declared in rules.exact():
        if declared.purpose in withdrawn and declared.path != "/":
            targets[declared.name] = None
    return deletions(targets, rules, host=host)


def deletions(names: Iterable[bytes], rules: CookieRules, *, host: str) -> list[bytes]:
    """Set-Cookie values that delete these names, wherever a page of this host may have set them."""
    values = [
        _deletion(name, domain, path, rules.secure)
        for name in names
        for declared in (rules.find(name),)
        for domain in _domains(name, host, declared)
        for path in _paths(name, declared)
    ]
    # A partitioned cookie is another one; browsers tell them apart by this attribute.
    partitioned = [value + b"; Partitioned" for value in values if rules.secure]
    room = MAX_EXPIRY_BYTES - sum(map(len, values))
    return values + (partitioned if sum(map(len, partitioned)) <= room else [])


def _deletion(name: bytes, domain: str, path: str, secure: bool) -> bytes:
    where = f"; Domain={domain}" if domain else ""
    return name + f"=; Max-Age=0; Path={path}{where}{'; Secure' if secure else ''}".encode()


def _paths(name: bytes, declared: Declared | None) -> list[str]:
    if declared is None or declared.path == "/" or name.lower().startswith(b"__host-"):
        return ["/"]
    return ["/", declared.path]


def _domains(name: bytes, host: str, declared: Declared | None) -> list[str]:
    """Empty stands for a cookie without a Domain attribute."""
    if name.lower().startswith(b"__host-") or (declared is not None and declared.own):
        return [""]
    domains = ["", *parents(host)]
    own = declared.domain.lstrip(".").lower() if declared else ""
    if own and own not in domains:
        domains.append(own)
    return domains


@lru_cache(256)
def parents(host: str) -> tuple[str, ...]:
    """The host and its parents that may hold a cookie for it: down to the name below the public suffix."""
    host = host_name(host)
    if not _HOST_NAME.fullmatch(host):
        return ()
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return ()
    registrable = _public_suffixes().privatesuffix(host)
    if registrable is None:
        return ()
    names = [host]
    while names[-1] != registrable:
        names.append(names[-1].partition(".")[2])
    return tuple(names)


def host_name(host: str) -> str:
    """A Host header without its port and final dot, in lower case."""
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


@lru_cache(1)
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()
