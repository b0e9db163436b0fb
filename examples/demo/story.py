"""What the demo's visitors do, in order, and the cookies each of them holds after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from examples.demo.visitors import Browser, HeldCookie, Visitor

READING = ("/", "/articles", "/articles/consent-is-not-a-banner", "/members", "/members/greta-lindqvist", "/about")
WITHOUT_CONSENT = frozenset({"first visit", "refused", "withdrawn"})
OWN = frozenset({"consent", "visitor", "__Host-consent", "__Host-visitor"})


class Step(NamedTuple):
    title: str
    cookies: list[HeldCookie]
    storage: list[str]
    third_party_requests: int  # since the step before


class Story:
    """Three people: one is shown the site without its gate, one refuses, one accepts, browses and withdraws."""

    def __init__(self, browser: Browser, site: str, bare_site: str, on_step: Callable[[str], None]) -> None:
        self.browser = browser
        self.site = site
        self.bare_site = bare_site
        self.on_step = on_step
        self.steps: list[Step] = []

    def _note(self, title: str, visitor: Visitor) -> None:
        self.steps.append(Step(title, visitor.cookies(), visitor.storage(), visitor.third_party_requests()))
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
            visitor.third_party_requests()
            visitor.open(self.site + "/about")
            self._note("withdrawn", visitor)

    def tell(self) -> None:
        self.without_gate()
        self.refuses()
        self.accepts()
        self.withdraws()


def held_without_consent(steps: list[Step], necessary: frozenset[str], site: str) -> set[str]:
    """What the site's visitors hold before a choice, after a refusal or after a withdrawal, and should not.

    A third party's own cookies stay in the browser after a withdrawal, where no site can reach them; but no request
    carries them any more.
    """
    wrong: set[str] = set()
    for step in steps:
        if step.title in WITHOUT_CONSENT:
            reach = {cookie.name for cookie in step.cookies if cookie.host == site or step.title != "withdrawn"}
            wrong |= reach - necessary - OWN
            wrong |= {f"{key} (localStorage)" for key in step.storage}
            if step.third_party_requests:
                wrong.add(f"{step.third_party_requests} requests to the third party, {step.title}")
    return wrong
