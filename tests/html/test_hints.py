"""Link headers hold back what link elements would."""

from __future__ import annotations

import pytest

from consent_middleware.hints import agreed_links
from consent_middleware.holding import Holder
from tests.html.pages_for_tests import POLICY, granted


def agreed(value: bytes, *purposes: str) -> bytes:
    return agreed_links(value, Holder(POLICY, granted(*purposes), "example.com", None))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<https://tube.example/a.js>; rel=preload; as=script", b""),
        (b'<//tube.example>; crossorigin; REL="dns-prefetch preconnect"', b""),
        (
            b'</own.css>; rel=preload; title="a, <b>; c", <https://tube.example/a>;rel=prefetch',
            b'</own.css>; rel=preload; title="a, <b>; c"',
        ),
        (
            b"<https://tube.example/feed>; rel=alternate, </next>; rel=next",
            b"<https://tube.example/feed>; rel=alternate, </next>; rel=next",
        ),
        (b"<https://nobody.test/x>; rel=preload, </a>; rel=preload", b"</a>; rel=preload"),
        (b"nonsense", b"nonsense"),
        (b"", b""),
    ],
)  # fmt: skip
def test_a_hint_to_a_vendor_without_consent_is_taken_out(value: bytes, expected: bytes) -> None:
    assert agreed(value) == expected


def test_with_consent_the_header_is_untouched() -> None:
    value = b"<https://tube.example/a.js>;rel=preload ,  </x>; rel=next"
    assert agreed(value, "marketing") == value


def test_a_hostile_header_is_read_quickly() -> None:
    assert agreed(b"<a>" + b'"' * 50_000)
    assert agreed(b"<a>;" + b"\\" * 50_000)
    assert agreed(b"<" * 50_000)
