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
IMPORT_SOURCE_STRUCTURE: Final = "referrer LowCardinality(String), query String, " + ", ".join(
    f"{name} LowCardinality(String)"
    for name in (
        *("host", "kept", "source", "channel", "utm_source", "utm_medium"),
        *("utm_campaign", "utm_term", "utm_content"),
    )
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


def make_import_tables(
    store: Store, tables: dict[str, str], allowed: frozenset[str], country_of: Callable[[str], str], site: str
) -> None:
    """Tables of the user agents, referrers with campaign parameters, and addresses of a piece of an access log."""
    staged = tables["staged"]
    agents = store.query(f"SELECT DISTINCT toString(user_agent) FROM {staged} WHERE reason = ''")
    agents_structure = AGENT_STRUCTURE.replace(", hints LowCardinality(String)", "")
    texts = [(text, _fields(_agent(text[:MAX_USER_AGENT], ""))) for (text,) in agents]
    _fill(store, tables["agents"], agents_structure, [[text, *fields] for text, fields in texts])
    pairs = store.query(f"SELECT DISTINCT toString(referrer), tagged FROM {staged} WHERE reason = ''")
    own = frozenset((site.removeprefix("www."),))
    rows = []
    for link, query in pairs:
        host = referrer_host(link, own)
        kept = scrub_query(query, allowed)
        values = parse_qs(kept)
        campaign = [values.get(name, [""])[0] for name in ("utm_campaign", "utm_term", "utm_content")]
        rows.append([link, query, host, kept, *_source(host, kept), *campaign])
    _fill(store, tables["sources"], IMPORT_SOURCE_STRUCTURE, rows)
    addresses = store.query(f"SELECT DISTINCT address FROM {staged} WHERE reason = ''")
    countries = [[address, country_of(address)] for (address,) in addresses]
    _fill(store, tables["countries"], "address String, country LowCardinality(String)", countries)
