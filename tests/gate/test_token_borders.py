"""The consent cookie at its borders: every number that decides whether a cookie is believed, from both sides.

Everything is built inside the tests: `make mutants` plants its faults after the test files were read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
from itsdangerous import Signer

from consent_middleware.decision import Choice
from consent_middleware.token import CLOCK_SKEW_SECONDS, SALT, BadToken, ConsentTokens, _Hmac, visitor_cookie_name
from tests.gate.policies import HEAD, SHOP, policy

NOW = 1_795_000_000
KEY, OLD = "a key of these tests", "the key before it"
RECORD = "A" * 22


def purposes(count: int) -> str:
    return "".join(f'[[purpose]]\nid = "p{number:03d}"\n' for number in range(count))


def made(*granted: str, at: int = NOW, record: str | None = RECORD, signals: tuple[str, ...] = ()) -> Choice:
    return Choice(frozenset(granted), record, at, policy().fingerprint, signals)


def reason(tokens: ConsentTokens, value: bytes | str) -> str:
    with pytest.raises(BadToken) as caught:
        tokens.decode(value, NOW)
    assert str(caught.value) == f"the consent cookie is not valid: {caught.value.reason}"
    return caught.value.reason


def signed(body: bytes, key: str = KEY) -> bytes:
    return Signer([key], salt=SALT, digest_method=hashlib.sha256, key_derivation="hmac").sign(body)


def test_the_visitor_cookie_has_its_prefix_on_https_alone() -> None:
    assert (visitor_cookie_name(True), visitor_cookie_name(False)) == ("__Host-visitor", "visitor")


def test_the_header_is_what_browsers_are_told_word_for_word() -> None:
    tokens = ConsentTokens([KEY], policy())
    header = tokens.set_cookie(made(), secure=True).decode()
    assert header.startswith("__Host-consent=A")
    assert header.endswith("; Path=/; Max-Age=15724800; HttpOnly; SameSite=Lax; Secure")
    assert tokens.set_cookie(made(), secure=False).decode().endswith("; HttpOnly; SameSite=Lax")


def test_exactly_180_bytes_fit_and_no_purpose_more() -> None:
    fits = policy(SHOP + purposes(550))
    tokens = ConsentTokens([KEY], fits)
    assert len(tokens.encode(Choice(fits.optional_purposes, RECORD, NOW, fits.fingerprint))) == 180
    with pytest.raises(ValueError, match=r"^553 optional purposes: their choices don't fit into a cookie$"):
        ConsentTokens([KEY], policy(SHOP + purposes(551)))


def test_a_bad_list_of_keys_is_refused_with_the_way_out() -> None:
    for keys in ("one string", b"bytes"):
        with pytest.raises(ValueError, match=r"^secret_keys is a list of keys, newest last, not one string$"):
            ConsentTokens(keys, policy())  # type: ignore[arg-type]  # what a caller without types may give
    with pytest.raises(ValueError, match=r"^no secret key, or an empty one$"):
        ConsentTokens([], policy())


def test_each_key_of_the_list_verifies_what_it_signed() -> None:
    tokens = ConsentTokens([OLD, KEY], policy())
    by_old = ConsentTokens([OLD], policy()).encode(made("analytics"))
    assert tokens.decode(by_old, NOW) == made("analytics")
    assert tokens.decode(ConsentTokens([KEY], policy()).encode(made()), NOW) == made()
    before = tokens.generation
    tokens.rotate([KEY])
    assert tokens.generation > before, "what was remembered of the old list is no longer believed"
    assert reason(tokens, by_old) == "foreign-key"


def test_signals_and_records_that_are_none_are_left_out_or_refused() -> None:
    tokens = ConsentTokens([KEY], policy())
    assert tokens.decode(tokens.encode(made(record=None, signals=("gpc", "new"))), NOW).signals == ("gpc",)
    assert tokens.decode(tokens.encode(made(record=None, signals=("new",))), NOW) == made(record=None)
    with pytest.raises(ValueError, match=r"^a record id is 22 characters of base64url, not 'AAAA'$"):
        tokens.encode(made(record="AAAA"))


@pytest.mark.parametrize("count", range(18))
def test_no_cookie_holds_a_sign_that_its_value_may_not_have(count: int) -> None:
    some = policy('[[purpose]]\nid = "analytics"\n' + purposes(count), HEAD)
    tokens = ConsentTokens([KEY], some)
    for record in (None, RECORD):
        choice = Choice(some.optional_purposes, record, NOW, some.fingerprint)
        value = tokens.encode(choice)
        assert "=" not in value
        assert tokens.decode(value, NOW) == tokens.decode(value.encode(), NOW) == choice


def test_every_combination_of_eight_purposes_comes_back() -> None:
    eight = policy("".join(f'[[purpose]]\nid = "p{number}"\n' for number in range(8)))
    tokens = ConsentTokens([KEY], eight)
    for mask in range(256):
        granted = frozenset(f"p{bit}" for bit in range(8) if mask >> bit & 1)
        choice = Choice(granted, None, NOW, eight.fingerprint)
        assert tokens.decode(tokens.encode(choice), NOW) == choice


def test_a_policy_without_a_choice_has_the_shortest_cookie() -> None:
    bare = policy('[[purpose]]\nid = "necessary"\nrequired = true\n')
    tokens = ConsentTokens([KEY], bare)
    choice = Choice(frozenset(), None, NOW, bare.fingerprint)
    assert tokens.decode(tokens.encode(choice), NOW) == choice


def test_time_is_believed_from_five_minutes_ahead_until_the_end_and_beyond_2106() -> None:
    tokens = ConsentTokens([KEY], policy())
    value = tokens.encode(made())
    assert tokens.decode(value, NOW - CLOCK_SKEW_SECONDS) == made()
    with pytest.raises(BadToken, match="expired"):
        tokens.decode(value, NOW - CLOCK_SKEW_SECONDS - 1)
    late = made(at=2**32 + 5)
    assert tokens.decode(tokens.encode(late), 2**32 + 6) == late
    present = made(at=int(time.time()))
    assert tokens.decode(tokens.encode(present)) == present, "without a time it is the present one"


def test_whatever_hangs_on_a_cookie_makes_it_another() -> None:
    tokens = ConsentTokens([KEY], policy())
    value = tokens.encode(made("analytics"))
    for tail in (".", "..", ".a", "=.", "AAAA", "\udcff"):
        assert reason(tokens, value + tail) in ("tampered", "truncated", "foreign-key")
    assert reason(tokens, value + "AAAA") == "tampered"
    assert reason(tokens, value[:-3]) == "truncated"
    assert reason(tokens, value[:-1]) == "truncated"
    body, _, signature = value.rpartition(".")
    assert reason(tokens, f"{body}.{signature[:-1]}!") == "tampered", "as long as a signature, and none"
    assert reason(tokens, body) == "truncated"
    assert reason(tokens, signed(b"A")) == "malformed"


def test_a_changed_cookie_is_told_from_one_of_another_key_whatever_the_hint_looks_like() -> None:
    seen = set()
    for number in range(400):
        key = f"key {number}"
        tokens = ConsentTokens([key], policy())
        body, _, signature = tokens.encode(made()).rpartition(".")
        seen |= set(body[:4]) & {"-", "_"}
        wrong = ("B" if signature[0] != "B" else "C") + signature[1:]
        assert reason(tokens, f"{body}.{wrong}") == "tampered"
        assert reason(tokens, f"{body[:-1]}?.{wrong}") in ("tampered", "malformed")
    assert seen == {"-", "_"}
    assert reason(ConsentTokens([KEY], policy()), b"!!!!." + b"A" * 43) == "foreign-key"


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 200])
def test_the_quick_signature_is_hmac(length: int) -> None:
    key = bytes(range(length))
    quick = _Hmac(key)
    for number in range(60):
        body = b"body %d" % number
        whole = base64.urlsafe_b64encode(hmac.digest(key, body, "sha256")).rstrip(b"=")
        assert quick.signed(body, whole)
        assert not quick.signed(body, whole + b"=")
        assert not quick.signed(body, whole[:-1])
        assert not quick.signed(body + b"!", whole)
