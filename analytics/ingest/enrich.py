"""Distinct values -> what they mean. Python sees each user agent and each referrer once; the engine joins the rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from analytics.ingest import referrer, useragent
from analytics.store import Store

AGENT_STRUCTURE: Final = ", ".join(
    f"{name} LowCardinality(String)"
    for name in ("user_agent", "hints", "browser", "browser_version", "os", "os_version", "device", "bot")
)
SOURCE_STRUCTURE: Final = "referrer LowCardinality(String), query String, " + ", ".join(
    f"{name} LowCardinality(String)" for name in ("source", "channel", "utm_source", "utm_medium")
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
