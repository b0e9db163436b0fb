"""A seeded generator of web server logs in the combined format: `python -m examples.access_log > access.log`.

Visitors come in sessions, more by day than by night and less at the weekend, from search engines, social networks, AI
assistants and links, with the browsers of 2026 and the robots that come with them. Addresses are drawn at random inside
the networks that the registries gave to each country, while the generator runs; none is stored in this repository, and
the same seed draws the same log.
"""

from __future__ import annotations

import argparse
import datetime as dt
import heapq
import random
import sys
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import iptocc

from examples.law_group.content import ARTICLES, EVENTS, MEMBERS

FIRST_DAY_BACK = 10
LAST_DAY_BACK = 3

COUNTRIES = {"GB": 52, "IE": 12, "DE": 7, "PT": 6, "PL": 5, "SE": 5, "IT": 4, "FR": 3, "NL": 2, "US": 3, "ES": 1}

CHROME = (
    "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 {extra}Safari/537.36{tail}"
)
FIREFOX = "Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
SAFARI = "Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} {extra}Safari/{tail}"
WINDOWS = "Windows NT 10.0; Win64; x64"
MAC = "Macintosh; Intel Mac OS X 10_15_7"
PHONE = "iPhone; CPU iPhone OS 18_{minor} like Mac OS X"


def browsers() -> dict[str, int]:
    """User agents and their weights."""
    weights: dict[str, int] = {}
    for version, share in (("142", 6), ("141", 3), ("139", 1)):
        for system, weight in ((WINDOWS, 14), (MAC, 6), ("X11; Linux x86_64", 2)):
            weights[CHROME.format(system=system, version=version, extra="", tail="")] = weight * share
        weights[CHROME.format(system="Linux; Android 10; K", version=version, extra="Mobile ", tail="")] = 17 * share
        weights[CHROME.format(system=WINDOWS, version=version, extra="", tail=f" Edg/{version}.0.0.0")] = 6 * share
    for version in ("145", "144", "140"):
        weights[FIREFOX.format(system=WINDOWS, version=version)] = 14
        weights[FIREFOX.format(system="X11; Linux x86_64", version=version)] = 5
    for minor in (1, 3, 6):
        phone = PHONE.format(minor=minor)
        weights[SAFARI.format(system=phone, version=f"18.{minor}", extra="Mobile/15E148 ", tail="604.1")] = 48
    weights[SAFARI.format(system=MAC, version="18.6", extra="", tail="605.1.15")] = 36
    tablet = "iPad; CPU OS 18_6 like Mac OS X"
    weights[SAFARI.format(system=tablet, version="18.6", extra="Mobile/15E148 ", tail="604.1")] = 12
    weights[
        CHROME.format(
            system="Linux; Android 14; SM-S921B", version="138", extra="SamsungBrowser/28.0 ", tail=""
        ).replace("Safari", "Mobile Safari")
    ] = 12
    return weights


ROBOTS = {
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": 30,
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": 18,
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.2; +https://openai.com/gptbot": 16,
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)": 12,
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)": 10,
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)": 5,
    "curl/8.5.0": 4,
    "python-requests/2.32.3": 5,
}

SOURCES = {
    "-": 40,
    "https://www.google.com/": 30,
    "https://www.bing.com/": 6,
    "https://duckduckgo.com/": 4,
    "https://chatgpt.com/": 4,
    "https://www.perplexity.ai/": 1,
    "https://www.linkedin.com/": 6,
    "https://www.facebook.com/": 2,
    "https://news.ycombinator.com/": 1,
    "https://harwick-chamber.example/members": 3,
    "https://lawsocieties.example/links": 3,
}

PAGES = {
    "/": 20,
    "/members": 12,
    "/articles": 10,
    "/events": 8,
    "/about": 5,
    "/enquiry": 6,
    "/newsletter": 2,
    "/join": 1,
    **{f"/articles/{article.slug}": 14 - 2 * index for index, article in enumerate(ARTICLES)},
    **{f"/members/{member.slug}": 4 for member in MEMBERS},
    **{f"/events/{event.slug}": 3 for event in EVENTS},
}
ASSETS = (("/static/site.css", 7312), ("/static/mark.svg", 412))
CAMPAIGNS = (
    "?utm_source=newsletter&utm_medium=email&utm_campaign=autumn-2026",
    "?utm_source=linkedin&utm_medium=social",
)


class Line(NamedTuple):
    at: float
    text: str


class Weighted:
    """Draws from {value: weight}."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.values = list(weights)
        self.weights = list(weights.values())

    def draw(self, chance: random.Random) -> str:
        return chance.choices(self.values, self.weights)[0]


class Generator:
    """One log. The same seed, line count and last day give the same bytes."""

    def __init__(self, seed: int, today: dt.date, host: str = "localhost") -> None:
        self.chance = random.Random(seed)
        self.today = today
        self.host = host
        self.browsers = Weighted(browsers())
        self.robots = Weighted(ROBOTS)
        self.sources = Weighted(SOURCES)
        self.pages = Weighted(PAGES)
        self.countries = Weighted(COUNTRIES)
        self.pools: dict[str, list[str]] = {country: [] for country in COUNTRIES}

    def address(self, country: str) -> str:
        """An address in a network of that country; drawn anew until one fits."""
        pool = self.pools[country]
        while not pool:
            drawn = self.chance.randrange(1 << 24, 224 << 24)
            address = f"{drawn >> 24}.{drawn >> 16 & 255}.{drawn >> 8 & 255}.{drawn & 255}"
            found = iptocc.country_code(address)
            if found in self.pools and len(self.pools[found]) < 200:
                self.pools[found].append(address)
        return pool.pop()

    def moment(self) -> float:
        """Seconds since the epoch of a session's start, 3 to 10 days back, in office hours more often than not."""
        while True:
            day = self.today - dt.timedelta(days=self.chance.randint(LAST_DAY_BACK, FIRST_DAY_BACK))
            if day.weekday() >= 5 and self.chance.random() < 0.5:
                continue
            hour = self.chance.gauss(13.5, 4.2) if self.chance.random() < 0.85 else self.chance.uniform(0, 24)
            if 0 <= hour < 23.2:
                midnight = dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
                return midnight + hour * 3600

    def line(self, at: float, address: str, path: str, status: int, size: int, referrer: str, agent: str) -> Line:
        stamp = dt.datetime.fromtimestamp(at, dt.UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        return Line(at, f'{address} - - [{stamp}] "GET {path} HTTP/1.1" {status} {size} "{referrer}" "{agent}"\n')

    def visitor(self) -> Iterator[Line]:
        """A person: one to three sessions, on the same or a later day, of a few pages each, with the pages' files."""
        chance = self.chance
        address, agent = self.address(self.countries.draw(chance)), self.browsers.draw(chance)
        last_moment = dt.datetime.combine(
            self.today - dt.timedelta(days=LAST_DAY_BACK - 1), dt.time(), dt.UTC
        ).timestamp()
        at = self.moment()
        for session in range(chance.choices((1, 2, 3), (72, 20, 8))[0]):
            referrer = self.sources.draw(chance)
            suffix = chance.choice(CAMPAIGNS) if referrer == "-" and chance.random() < 0.12 else ""
            for number in range(min(12, 1 + int(chance.expovariate(0.55)))):
                path = self.pages.draw(chance)
                if at >= last_moment:
                    return
                if chance.random() < 0.012:
                    yield self.line(at, address, "/wp-content/old-page", 404, 1480, referrer, agent)
                else:
                    yield self.line(at, address, path + suffix, 200, chance.randint(4200, 9800), referrer, agent)
                referrer, suffix = f"https://{self.host}{path}", ""
                if number == session == 0:
                    for asset, size in ASSETS:
                        yield self.line(at + 0.2, address, asset, 200, size, referrer, agent)
                at += min(1500.0, chance.lognormvariate(3.4, 1.1))
            at += chance.uniform(2400, 40 * 3600)

    def robot(self) -> Iterator[Line]:
        """A crawler that reads a handful of pages and none of their files."""
        chance = self.chance
        address, agent = self.address("US"), self.robots.draw(chance)
        at = self.moment()
        for _ in range(chance.randint(3, 25)):
            path = "/robots.txt" if chance.random() < 0.1 else self.pages.draw(chance)
            yield self.line(at, address, path, 200, chance.randint(4200, 9800), "-", agent)
            at += chance.uniform(1, 90)

    def lines(self, count: int) -> list[str]:
        """`count` lines in the order of their time."""
        drawn: list[Line] = []
        while len(drawn) < count:
            drawn.extend(self.robot() if self.chance.random() < 0.045 else self.visitor())
        return (
            [line.text for line in heapq.nsmallest(count, drawn)]
            if len(drawn) > count
            else [x.text for x in sorted(drawn)]
        )


def write(out: TextIO, *, lines: int, seed: int, today: dt.date | None = None) -> None:
    """Write a log that ends three days before `today` (default: this day, UTC)."""
    out.writelines(Generator(seed, today or dt.datetime.now(dt.UTC).date()).lines(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument(
        "--today", type=dt.date.fromisoformat, default=None, help="the day the log ends three days before"
    )
    chosen = parser.parse_args()
    write(sys.stdout, lines=chosen.lines, seed=chosen.seed, today=chosen.today)


if __name__ == "__main__":
    main()
