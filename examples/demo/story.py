"""What the demo's visitors do, in order, and the cookies each of them holds after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from examples.demo.visitors import Browser, HeldCookie, Visitor

READING = ("/", "/articles", "/articles/consent-is-not-a-banner", "/members", "/members/greta-lindqvist", "/about")
OWN = frozenset({"consent", "visitor", "__Host-consent", "__Host-visitor"})


class Step(NamedTuple):
    title: str
    cookies: list[HeldCookie]
    storage: list[str]


class Story:
    """Three people: one is shown the site without its gate, one refuses, one accepts, browses and withdraws."""

    def __init__(self, browser: Browser, site: str, bare_site: str, on_step: Callable[[str], None]) -> None:
        self.browser = browser
        self.site = site
        self.bare_site = bare_site
        self.on_step = on_step
        self.steps: list[Step] = []

    def _note(self, title: str, visitor: Visitor) -> None:
        self.steps.append(Step(title, visitor.cookies(), visitor.storage()))
        self.on_step(title)

    def _read(self, visitor: Visitor) -> None:
        for path in READING:
            visitor.open(self.site + path)

    def without_gate(self) -> None:
        with self.browser.visitor() as visitor:
            visitor.open(self.bare_site + "/about")
            self._note("without the gate", visitor)

    def refuses(self) -> None:
        with self.browser.visitor() as visitor:
            visitor.open(self.site + "/about")
            self._note("first visit", visitor)
            visitor.choose("reject")
            self._read(visitor)
            self._note("refused", visitor)

    def accepts(self) -> None:
        with self.browser.visitor() as visitor:
            visitor.open(self.site + "/?utm_source=newsletter&utm_medium=email")
            visitor.choose("accept")
            self._read(visitor)
            self._note("accepted", visitor)

    def withdraws(self) -> None:
        with self.browser.visitor() as visitor:
            visitor.open(self.site + "/")
            visitor.choose("accept")
            self._read(visitor)
            visitor.open(self.site + "/_consent/")
            visitor.choose("reject")
            visitor.open(self.site + "/events")
            self._note("withdrawn", visitor)

    def tell(self) -> None:
        self.without_gate()
        self.refuses()
        self.accepts()
        self.withdraws()


def issued_after_refusal(steps: list[Step], necessary: frozenset[str]) -> set[str]:
    """Cookies that should not be there before a choice, after a refusal or after a withdrawal."""
    wrong: set[str] = set()
    for step in steps:
        if step.title in {"first visit", "refused", "withdrawn"}:
            wrong |= {cookie.name for cookie in step.cookies} - necessary - OWN
    return wrong
