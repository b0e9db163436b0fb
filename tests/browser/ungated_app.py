"""The example with one call of the gate taken out: what a fault there would look like to a visitor."""

from __future__ import annotations

from consent_middleware import answer, gate

_filter = gate.filter_set_cookie


def _let_everything_pass(value: bytes, *arguments: object) -> gate.FilteredCookie:
    found = _filter(value, *arguments)  # type: ignore[arg-type]  # handed through as it came
    return gate.FilteredCookie(value, found.name)


answer.filter_set_cookie = _let_everything_pass

from examples.law_group.app import app  # noqa: E402  # the fault has to be there before the site is made

__all__ = ["app"]
