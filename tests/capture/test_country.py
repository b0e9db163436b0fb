"""Whose address counts, and what of it is kept."""

from __future__ import annotations

import pytest

from consent_middleware.country import ClientResolver, TrustedProxies, truncate
from tests.capture.reading import policy, request

RESOLVER = ClientResolver(policy())


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("81.2.69.142", "81.2.69.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:81.2.69.142", "81.2.69.0"),
        ("testclient", ""),
    ],
)
def test_an_address_is_cut_to_its_network(address: str, kept: str) -> None:
    assert truncate(address) == kept


def test_a_forwarded_address_is_believed_from_a_trusted_proxy_only() -> None:
    spoofed = request(client="81.2.69.142", x_forwarded_for="8.8.8.8", cf_ipcountry="US")
    assert RESOLVER.resolve(spoofed) == RESOLVER.resolve(request(client="81.2.69.142"))
    trusted = request(client="10.1.2.3", x_forwarded_for="8.8.8.8")
    assert RESOLVER.resolve(trusted).country == "US"


def test_only_the_last_address_that_no_proxy_stands_for_counts() -> None:
    proxies = TrustedProxies(("10.0.0.0/8",))
    chain = [b"1.1.1.1, 8.8.8.8", b"10.9.9.9"]
    assert proxies.client_address("10.1.2.3", chain) == "8.8.8.8"
    assert proxies.client_address("9.9.9.9", chain) == "9.9.9.9"
    assert proxies.client_address("10.1.2.3", [b"nonsense"]) == "10.1.2.3"
    assert proxies.client_address("10.1.2.3", [b"1.1.1.1, [2001:db8::1]:443"]) == "2001:db8::1"


def test_a_country_header_is_believed_from_a_trusted_proxy_only() -> None:
    assert RESOLVER.resolve(request(client="10.1.2.3", cf_ipcountry="FR")).country == "FR"
    assert RESOLVER.resolve(request(client="81.2.69.142", cf_ipcountry="FR")).country == "GB"
    assert RESOLVER.resolve(request(client="10.1.2.3", cf_ipcountry="XX", x_forwarded_for="8.8.8.8")).country == "US"


def test_a_client_without_an_address_has_no_country() -> None:
    assert RESOLVER.resolve(request() | {"client": None}).country == ""
