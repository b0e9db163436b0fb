"""The consent cookie: what is put in comes out, and whatever happened to it on the way means undecided."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import BadSignature, Signer

from consent_middleware.decision import Choice
from consent_middleware.services import ConfigurationError, _warn_of_short_secrets, secrets_from
from consent_middleware.token import BadToken, ConsentTokens
from tests.gate import browser_by_the_rfc as browser
from tests.gate.policies import HEAD, SHOP, policy

DAY = 86_400
NOW = int(time.time())
POLICY = policy()
OLD, NEW = "old key " * 4, "new key " * 4
TOKENS = ConsentTokens([OLD, NEW], POLICY)


def a_yes(at: int = NOW, *purposes: str) -> Choice:
    return Choice(frozenset(purposes or ("analytics",)), secrets.token_urlsafe(16), at, POLICY.fingerprint)


def a_no(at: int = NOW // DAY * DAY) -> Choice:
    return Choice(frozenset(), None, at, POLICY.fingerprint)


def reason(value: bytes | str, tokens: ConsentTokens = TOKENS, now: float = NOW) -> str:
    with pytest.raises(BadToken) as caught:
        tokens.decode(value, now)
    return caught.value.reason


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(["analytics", "marketing"])),
    st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
    st.integers(NOW - 181 * DAY, NOW),
    st.sets(st.sampled_from(["gpc", "dnt"])),
)
def test_what_goes_in_comes_out(purposes: set[str], record: bytes | None, at: int, signals: set[str]) -> None:
    record_id = base64.urlsafe_b64encode(record).rstrip(b"=").decode() if record is not None else None
    ordered = tuple(signal for signal in ("gpc", "dnt") if signal in signals)
    choice = Choice(frozenset(purposes), record_id, at, POLICY.fingerprint, ordered)
    assert TOKENS.decode(TOKENS.encode(choice), NOW) == choice


def test_a_cookie_of_ninety_purposes_stays_below_180_bytes() -> None:
    many = policy(SHOP + "".join(f'[[purpose]]\nid = "p{number}"\n' for number in range(90)))
    tokens = ConsentTokens([NEW], many)
    choice = Choice(many.optional_purposes, secrets.token_urlsafe(16), NOW, many.fingerprint)
    assert len(tokens.encode(choice)) <= 180
    assert tokens.decode(tokens.encode(choice), NOW) == choice


def test_a_refusal_holds_no_identifier_and_no_finer_time_than_the_day() -> None:
    day = NOW // DAY * DAY
    assert TOKENS.encode(a_no(day)) == TOKENS.encode(a_no(day)), "the cookies of all who refuse on one day are equal"
    assert TOKENS.decode(TOKENS.encode(a_no(day)), NOW).record_id is None


def test_yes_and_no_are_kept_equally_long() -> None:
    lengths = {cookie.partition(b"Max-Age=")[2].partition(b";")[0] for cookie in cookies()}
    assert lengths == {b"%d" % (182 * DAY)}
    assert TOKENS.decode(TOKENS.encode(a_yes(NOW - 182 * DAY + 1)), NOW)
    assert reason(TOKENS.encode(a_yes(NOW - 182 * DAY))) == "expired"
    # Said no at the last second of a day: the whole time counts from there.
    late = NOW // DAY * DAY + DAY - 1
    value = TOKENS.encode(a_no(late // DAY * DAY))
    assert TOKENS.decode(value, late + 182 * DAY - 1)
    assert reason(value, now=late + 182 * DAY + 1) == "expired"


def cookies() -> list[bytes]:
    return [TOKENS.set_cookie(choice, secure=True) for choice in (a_yes(), a_no())]


def test_browsers_take_the_cookie_with_its_prefix_on_https_and_without_on_http() -> None:
    for secure, name in ((True, b"__Host-consent"), (False, b"consent")):
        stored = browser.receive(TOKENS.set_cookie(a_yes(), secure=secure), NOW, https=secure)
        assert stored is not None
        assert (stored.name, stored.path, stored.domain) == (name, b"/", b"")
        assert (stored.secure, stored.http_only, stored.same_site) == (secure, True, b"lax")


def test_each_kind_of_damage_has_its_name() -> None:
    value = TOKENS.encode(a_yes())
    body, signature = value.split(".")
    foreign = ConsentTokens(["somebody else's key"], POLICY).encode(a_yes())
    other = policy(SHOP, HEAD.replace("revision = 1", "revision = 2"))
    before = ConsentTokens([NEW], other).encode(Choice(frozenset(), None, NOW, other.fingerprint))
    assert reason(f"{body}.{signature[:-2]}") == "truncated"
    assert reason(body) == "truncated"
    assert reason("") == "truncated"
    assert reason(f"{body[:-2]}AA.{signature}") == "tampered"
    assert reason(f"{body}.{signature[::-1]}") == "tampered"
    assert reason(foreign) == "foreign-key"
    assert reason(before) == "wrong-policy"
    assert reason(TOKENS.encode(a_yes(NOW - 200 * DAY))) == "expired"
    assert reason(TOKENS.encode(a_yes(NOW + DAY))) == "expired"
    assert reason(signer(NEW).sign(b"AQ")) == "malformed"
    assert reason(signer(NEW).sign(body[:-6].encode())) == "malformed"
    assert reason(signer(NEW).sign(b"\xff!")) == "malformed"


def test_keys_rotate_and_old_ones_verify_until_they_leave_the_list() -> None:
    by_old = ConsentTokens([OLD], POLICY).encode(a_yes())
    assert TOKENS.decode(by_old, NOW)
    assert ConsentTokens([OLD], POLICY).decode(by_old, NOW)
    assert reason(by_old, ConsentTokens([NEW], POLICY)) == "foreign-key"
    assert reason(TOKENS.encode(a_yes()), ConsentTokens([OLD], POLICY)) == "foreign-key", "the newest key signs"


def test_bad_key_lists_are_refused() -> None:
    for keys in ([], [""], [NEW, ""]):
        with pytest.raises(ValueError, match="secret key"):
            ConsentTokens(keys, POLICY)


def test_a_secret_that_can_be_guessed_is_refused_with_the_way_out_and_a_short_one_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for keys in (["1234567"], ["a good long key of some length here", "x"]):
        with pytest.raises(ConfigurationError, match=r"at least 8 .*secrets\.token_urlsafe") as caught:
            secrets_from(keys)
        assert "1234567" not in str(caught.value), "a key is never shown"
    _warn_of_short_secrets.cache_clear()
    assert [secrets_from([key]) for key in ("secret-1", "k" * 31, "k" * 32)] == [["secret-1"], ["k" * 31], ["k" * 32]]
    assert ["less than 32 bytes" in message for message in caplog.messages] == [True], "once"


def signer(*keys: str) -> Signer:
    return Signer(list(keys), salt=b"consent_middleware.token", digest_method=hashlib.sha256, key_derivation="hmac")


GOOD = [TOKENS.encode(a_yes()).encode(), ConsentTokens([OLD], POLICY).encode(a_no()).encode()]


@settings(max_examples=1000, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=120),
        st.builds(
            lambda value, at, new, drop: value[: at % len(value)] + new + value[at % len(value) + drop :],
            st.sampled_from(GOOD),
            st.integers(0, 200),
            st.binary(max_size=2),
            st.integers(0, 2),
        ),
        st.builds(
            lambda value, more: value + more, st.sampled_from(GOOD), st.sampled_from([b"=", b"==", b".", b"!", b"\n"])
        ),
    )
)
def test_a_signature_holds_exactly_when_itsdangerous_says_so(value: bytes) -> None:
    """Whatever is done to a value: it is believed by both or by neither."""
    try:
        signer(OLD, NEW).unsign(value)
        believed = True
    except BadSignature:
        believed = False
    try:
        TOKENS.decode(value, NOW)
        verdict = ""
    except BadToken as bad:
        verdict = bad.reason
    assert (verdict in {"", "malformed", "wrong-policy", "expired"}) == believed
