"""Whose address counts, and what of it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent_middleware.country import Client, ClientResolver, TrustedProxies, truncate
from consent_middleware.policy import PrivacyPolicy
from tests.capture import country_database
from tests.capture.reading import POLICY, policy, request

RESOLVER = ClientResolver(policy())


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("81.2.69.142", "81.2.69.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:81.2.69.142", "81.2.69.0"),
        ("2001:db8:1:2::3%eth0", "2001:db8:1::"),
        ("2001:db8:1::%a-name", "2001:db8:1::"),
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


LONDON = {"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}], "city": {"names": {"en": "London"}}}


def by_database(path: Path) -> ClientResolver:
    text = POLICY.replace("{without}", "counts").replace("[site]", f'[site]\ncountry_database = "{path}"')
    return ClientResolver(PrivacyPolicy.parse(text))


def test_an_operators_own_database_says_country_region_and_city(tmp_path: Path) -> None:
    country_database.write(tmp_path / "own.mmdb", {"8.8.8.0/24": LONDON, "9.0.0.0/8": {"country": {"iso_code": "FR"}}})
    resolver = by_database(tmp_path / "own.mmdb")
    assert resolver.resolve(request(client="8.8.8.8")) == Client("GB", "8.8.8.0", "ENG", "London")
    assert resolver.resolve(request(client="9.1.2.3")).country == "FR"
    assert resolver.resolve(request(client="10.1.2.3", cf_ipcountry="DE")).country == "DE", (
        "a trusted header comes first"
    )
    for client, otherwise in (("81.2.69.142", "GB"), ("2a00:1450:4009::1", "IE"), ("nobody", "")):
        assert resolver.resolve(request(client=client)).country == otherwise, "what it does not know, the registry says"


def test_a_database_that_is_none_stops_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.mmdb").write_bytes(b"no database")
    for name in ("own.mmdb", "missing.mmdb"):
        with pytest.raises(RuntimeError, match=rf"site\.country_database: .*{name}"):
            by_database(tmp_path / name)
