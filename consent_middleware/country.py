"""Address or trusted header -> country; truncation of addresses. The full address goes no further than this file."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import iptocc
import msgspec

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

CACHED_CLIENTS = 8192
MAX_FORWARDED = 1024


class Client(msgspec.Struct, frozen=True):
    """Where a request comes from, as far as anybody behind the worker may know."""

    country: str = ""  # ISO 3166-1 alpha-2, or with a region: US-CA
    network: str = ""  # truncated address
    region: str = ""
    city: str = ""


def truncate(address: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) an address lies in, without the length; empty for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        # By its number: a zone behind `%` is any text, and stayed where the address was that of a network.
        parsed = parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed))
    length = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, length), strict=False).network_address)


def country_of(address: str) -> str:
    """The country of the registry that gave out the address; empty when unknown."""
    try:
        return iptocc.country_code(address.removeprefix("::ffff:")) or ""  # IPv4, as a dual-stack socket shows it
    except ValueError:
        return ""


class TrustedProxies:
    """The addresses and networks whose forwarding headers are believed."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks = []
        self._names = set()
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(entry)  # "unix": a socket, whose peer has no address
        self.trusts: Callable[[str], bool] = lru_cache(1024)(self._trusts)

    def __bool__(self) -> bool:
        return bool(self._networks or self._names)

    def _trusts(self, address: str) -> bool:
        if address in self._names:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks if network.version == parsed.version)

    def client_address(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """The address of the client: the right-most `X-Forwarded-For` entry that no trusted proxy stands for.

        Whatever is left of it was written by the client and is not believed.
        """
        if not self.trusts(peer):
            return peer
        chain = b",".join(forwarded)[-MAX_FORWARDED:].decode("latin-1").split(",")
        address = peer
        for entry in reversed(chain):
            entry = _without_port(entry.strip())
            try:
                ipaddress.ip_address(entry)
            except ValueError:
                return address
            address = entry
            if not self.trusts(entry):
                return entry
        return address


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


class ClientResolver:
    """scope -> Client, with a bounded cache. Only `address` returns the address itself, for keys in the worker."""

    def __init__(self, policy: PrivacyPolicy) -> None:
        site = policy.site
        self._proxies = TrustedProxies(site.trusted_proxies)
        self._country_header = site.country_header.lower().encode()
        self._database = _open_database(site.country_database) if site.country_database else None
        self._look_up = lru_cache(CACHED_CLIENTS)(self._look_up_uncached)

    def address(self, scope: MutableMapping[str, Any]) -> str:
        """The client's full address, for limits and keys in memory; never to be written anywhere."""
        peer = _peer(scope)
        if not self._proxies:
            return peer
        headers = scope.get("headers") or ()
        return self._proxies.client_address(peer, (v for n, v in headers if n.lower() == b"x-forwarded-for"))

    def origin(self, scope: MutableMapping[str, Any]) -> object:
        """What tells one client's country from another's, for a key in memory; cheaper than `resolve`."""
        if self._proxies:
            return self.resolve(scope)
        client = scope.get("client")
        return client[0] if isinstance(client, tuple | list) and client else None

    def resolve(self, scope: MutableMapping[str, Any]) -> Client:
        """Country and truncated address of the request's client."""
        told = b""
        if self._country_header and self._proxies.trusts(_peer(scope)):
            for name, value in scope.get("headers") or ():
                if name.lower() == self._country_header:
                    told = value
        return self._look_up(self.address(scope), told)

    def _look_up_uncached(self, address: str, told: bytes) -> Client:
        network = truncate(address)
        code = told.decode("latin-1").strip().upper()
        country, _, region = code.partition("-")
        if len(country) == 2 and country.isalpha() and country not in ("XX", "ZZ"):
            return Client(code if region.isalnum() and len(region) <= 3 else country, network, region[:3])
        if self._database is not None:
            found = None
            if network:
                with contextlib.suppress(ValueError):  # a database of IPv4 alone is asked about IPv6
                    found = self._database.get(address)
            if isinstance(found, dict):
                return Client(
                    str((found.get("country") or {}).get("iso_code", "")),
                    network,
                    str((found.get("subdivisions") or [{}])[0].get("iso_code", "")),
                    str(((found.get("city") or {}).get("names") or {}).get("en", "")),
                )
        return Client(country_of(address), network)


def _peer(scope: MutableMapping[str, Any]) -> str:
    client = scope.get("client")
    if not client:
        return "unix"
    return str(next(iter(client), "") or "unix")


def _open_database(path: str) -> Any:
    """An operator's own .mmdb file. Raises RuntimeError with the way out."""
    try:
        import maxminddb
    except ImportError:
        raise RuntimeError(
            'site.country_database needs the extra "geo": pip install "consent-middleware[geo]"'
        ) from None
    try:
        return maxminddb.open_database(path, mode=maxminddb.MODE_MMAP)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise RuntimeError(f"site.country_database: {path}: {error}") from None
