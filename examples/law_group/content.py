"""The invented group's content, as values: members, articles, events (written in content.toml)."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    slug: str
    name: str
    practice: str
    town: str
    country: str
    areas: list[str]
    since: int
    email: str
    words: str

    @property
    def initials(self) -> str:
        parts = self.name.split()
        return parts[0][0] + parts[-1][0]

    @property
    def hue(self) -> int:
        return sum(map(ord, self.slug)) * 37 % 360


class Article(NamedTuple):
    slug: str
    title: str
    date: dt.date
    author: str
    minutes: int
    topic: str
    summary: str
    paragraphs: list[str]


class Event(NamedTuple):
    slug: str
    title: str
    date: dt.date
    place: str
    words: str


_WRITTEN = tomllib.loads(Path(__file__).with_name("content.toml").read_text(encoding="utf-8"))

MEMBERS = tuple(Member(**row) for row in _WRITTEN["member"])
ARTICLES = tuple(Article(**row) for row in _WRITTEN["article"])
EVENTS = tuple(Event(**row) for row in _WRITTEN["event"])

PUBLIC_PATHS = (
    *("/", "/members", "/articles", "/events", "/enquiry", "/newsletter", "/join", "/about"),
    *(f"/members/{member.slug}" for member in MEMBERS),
    *(f"/articles/{article.slug}" for article in ARTICLES),
    *(f"/events/{event.slug}" for event in EVENTS),
)
