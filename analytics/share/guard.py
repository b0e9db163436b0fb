"""Addresses that a delivery may go to: public ones, unless the owner allows more (server-side request forgery)."""

from __future__ import annotations

import ipaddress
import socket


class AddressRefused(Exception):
    """The host can't be reached under the rules; the message says why. `temporary`: its name had no answer today."""

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Every address of `host`; the caller connects to one of these, not to the name again. Raises AddressRefused.

    One private address among public ones is refused too: what is checked has to be what is used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressRefused(f"{host}: can't be resolved ({error.strerror or error})", temporary=True) from None
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    for address in addresses:
        if not allow_private and not is_public(address):
            raise AddressRefused(
                f"{host} is {address}, which is not a public address; "
                "allow it with allow_private = true in the recipient"
            )
    return addresses


def is_public(address: str) -> bool:
    """Whether an address belongs to the public Internet; addresses inside IPv6 ones are unwrapped first."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast
