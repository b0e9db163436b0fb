"""Distinct values -> what they mean. Python sees each user agent and each referrer once; the engine joins the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from analytics.ingest import referrer, useragent
from analytics.store import Store
from consent_middleware.visit import MAX_USER_AGENT, referrer_host, scrub_query

AGENT_STRUCTURE: Final = ", ".join(
    f"{name} LowCardinality(String)"
    for name in ("user_agent", "hints", "browser", "browser_version", "os", "os_version", "device", "bot")
)
SOURCE_STRUCTURE: Final = "referrer LowCardinality(String), query String, " + ", ".join(
    f"{name} LowCardinality(String)" for name in ("source", "channel", "utm_source", "utm_medium")
)
AGENT_FIELDS: Final = ("browser", "browser_version", "os", "os_version", "device", "bot")
LINK_FIELDS: Final = (
    *("host", "kept", "source", "channel", "utm_source", "utm_medium"),
    *("utm_campaign", "utm_term", "utm_content"),
)
_encode = msgspec.json.Encoder().encode
_agent = lru_cache(100_000)(useragent.parse)


@lru_cache(100_000)
def _source(host: str, query: str) -> tuple[str, str, str, str]:
    values = parse_qs(query) if query else {}
    tagged = next((values[name][0] for name in ("utm_source", "source", "ref") if name in values), "")
    medium = values.get("utm_medium", [""])[0]
    found = referrer.classify(host, tagged, medium)
    return found.source, found.channel, values.get("utm_source", [""])[0], medium


def make_agents(store: Store, table: str, staged: str) -> None:
    """A table of all user agents of `staged` with what they mean."""
    distinct = store.query(f"SELECT DISTINCT toString(user_agent), toString(hints) FROM {staged} WHERE kind != 'count'")
    _fill(store, table, AGENT_STRUCTURE, [[text, hints, *_fields(_agent(text, hints))] for text, hints in distinct])


def make_sources(store: Store, table: str, staged: str) -> None:
    """A table of all pairs of referrer and campaign parameters of `staged` with source and channel."""
    distinct = store.query(f"SELECT DISTINCT toString(referrer), query FROM {staged} WHERE kind != 'count'")
    _fill(store, table, SOURCE_STRUCTURE, [[host, query, *_source(host, query)] for host, query in distinct])


def _fields(agent: useragent.Agent) -> tuple[Any, ...]:
    return msgspec.structs.astuple(agent)


def _fill(store: Store, table: str, structure: str, rows: list[list[Any]]) -> None:
    store.command(f"CREATE OR REPLACE TABLE {table} ({structure}) ENGINE = Memory")
    if rows:
        store.load(table, structure, "JSONCompactEachRow", [b"\n".join(map(_encode, rows)), b"\n"])


class ImportNames(msgspec.Struct, frozen=True):
    """The names of what the engine holds in memory about one piece of a log: a table, and three dictionaries."""

    staged: str
    agents: str
    sources: str
    countries: str

    @classmethod
    def of(cls, number: int) -> ImportNames:
        return cls(*(f"import_{name}_{number}" for name in ("staged", "agents", "sources", "countries")))


def warm() -> None:
    """Load what explains user agents and referrers, while the engine is still reading."""
    _agent("-", "")
    _source("", "")


def explain_import(
    store: Store, names: ImportNames, allowed: frozenset[str], country_of: Callable[[str], str], site: str
) -> None:
    """Dictionaries of the user agents, links (referrer and query) and networks of a piece of an access log."""
    staged = names.staged
    agents = []
    for (text,) in store.query(f"SELECT DISTINCT toString(agent) FROM {staged} WHERE reason = ''"):
        agents.append([text, *_fields(_agent(text[:MAX_USER_AGENT], ""))])
    _dictionary(store, names.agents, "agent String", AGENT_FIELDS, agents)
    own = frozenset((site.removeprefix("www."),))
    sources = []
    for (link,) in store.query(f"SELECT DISTINCT toString(link) FROM {staged} WHERE reason = '' AND page"):
        sources.append([link, *_link(link, allowed, own)])
    _dictionary(store, names.sources, "link String", LINK_FIELDS, sources)
    networks = store.query(f"SELECT DISTINCT network FROM {staged} WHERE reason = '' AND page")
    countries = [[number, country_of(_network(number))] for (number,) in networks]
    _dictionary(store, names.countries, "network UInt64", ("country",), countries)


def forget_import(store: Store, names: ImportNames) -> None:
    for name in (names.agents, names.sources, names.countries):
        store.command(f"DROP DICTIONARY IF EXISTS {name}")
        store.command(f"DROP TABLE IF EXISTS {name}_rows")
    store.command(f"DROP TABLE IF EXISTS {names.staged}")


@lru_cache(100_000)
def _link(link: str, allowed: frozenset[str], own: frozenset[str]) -> tuple[str, ...]:
    url, _, query = link.partition("\n")
    host = referrer_host(url, own)
    kept = scrub_query(query, allowed)
    values = parse_qs(kept)
    campaign = (values.get(name, [""])[0] for name in ("utm_campaign", "utm_term", "utm_content"))
    return host, kept, *_source(host, kept), *campaign


def _network(number: int) -> str:
    """An address in a network as the engine counts them: /24 as it is, /48 with a bit above them; "" for 0."""
    if number >> 48:
        return f"{number >> 32 & 0xFFFF:x}:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::"
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}.0" if number else ""


def _dictionary(store: Store, name: str, key: str, fields: tuple[str, ...], rows: list[list[Any]]) -> None:
    """A dictionary in the engine's memory over a table in its memory."""
    structure = ", ".join((key, *(f"{field} String" for field in fields)))
    _fill(store, f"{name}_rows", structure, rows)
    layout = "HASHED" if key.endswith("UInt64") else "COMPLEX_KEY_HASHED"
    store.command(
        f"CREATE OR REPLACE DICTIONARY {name} ({structure}) PRIMARY KEY {key.split()[0]} "
        f"SOURCE(CLICKHOUSE(TABLE '{name}_rows')) LAYOUT({layout}()) LIFETIME(0)"
    )
