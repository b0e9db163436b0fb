"""Distinct values -> what they mean. Python sees each user agent and each referrer once; the engine joins the rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec

from analytics.ingest import referrer
from analytics.store import Store
from consent_middleware.country import country_of
from consent_middleware.visit import MAX_USER_AGENT, referrer_host, scrub_query

if TYPE_CHECKING:
    from analytics.ingest import useragent

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
KEPT_VALUES: Final = 100_000  # of a dictionary about a log
_encode = msgspec.json.Encoder().encode
_explaining = threading.Lock()  # two lanes meet the same values: one explains them, the other finds them explained


@lru_cache(100_000)
def _agent(text: str, hints: str) -> useragent.Agent:
    from analytics.ingest import useragent  # here, because it brings its patterns: `warm` has them come by the way

    return useragent.parse(text, hints)


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
    store.make(table, structure, "JSONCompactEachRow", [_encode(row) + b"\n" for row in rows])


class Explained:
    """What the values in a log mean: three dictionaries in the engine's memory, which grow as new values are met.

    Each lane of an import has its own, so that none changes while it is asked.
    """

    def __init__(self, store: Store, lane: int, site: str, allowed: frozenset[str]) -> None:
        self.staged = f"import_staged_{lane}"
        own = frozenset((site.removeprefix("www."),))
        explain: dict[str, tuple[str, tuple[str, ...], Callable[[str], list[Any]]]] = {
            "agent": ("String", AGENT_FIELDS, _agent_fields),
            "link": ("String", LINK_FIELDS, lambda link: [*_link(link, allowed, own)]),
            "network": ("UInt64", ("country",), lambda number: [country_of(_network(int(number)))]),
        }
        self.dictionaries = {
            what: _Dictionary(store, f"import_{what}_{lane}", key, fields, meaning)
            for what, (key, fields, meaning) in explain.items()
        }

    def learn(self, store: Store) -> dict[str, tuple[int, str]]:
        """Explain what is staged; how many lines were taken and rejected, with an example, by the reason."""
        found: dict[str, list[str]] = {what: [] for what in self.dictionaries}
        reasons = {}
        for what, value, lines, sample in store.query(
            store.sql("staged_values"), {"staged": self.staged}, max_threads=1
        ):
            if what == "reason":
                reasons[str(value)] = (int(lines), str(sample))
            else:
                found[what].append(value)
        for what, values in found.items():
            self.dictionaries[what].learn(values)
        return reasons

    def forget(self, store: Store) -> None:
        for dictionary in self.dictionaries.values():
            dictionary.forget()
        store.command(f"DROP TABLE IF EXISTS {self.staged}")


class _Dictionary:
    """A dictionary in the engine's memory over a table in its memory. Its values are few, or it begins anew."""

    def __init__(
        self, store: Store, name: str, key: str, fields: tuple[str, ...], meaning: Callable[[str], list[Any]]
    ) -> None:
        self.name = name
        self._store, self._meaning = store, meaning
        self._structure = ", ".join((f"value {key}", *(f"{field} String" for field in fields)))
        self._layout = "HASHED" if key == "UInt64" else "COMPLEX_KEY_HASHED"
        self._known: set[str] = set()

    def learn(self, values: list[str]) -> None:
        new = [value for value in values if value not in self._known]
        if not new:
            return
        afresh = not self._known or len(self._known) + len(new) > KEPT_VALUES
        if afresh:
            new = values
            self._known.clear()
        with _explaining:
            rows = b"".join(_encode([value, *self._meaning(value)]) + b"\n" for value in new)
        if afresh:
            self._store.make(f"{self.name}_rows", self._structure, "JSONCompactEachRow", [rows])
            self._store.command(  # it reads its rows when it is first asked
                f"CREATE OR REPLACE DICTIONARY {self.name} ({self._structure}) PRIMARY KEY value "
                f"SOURCE(CLICKHOUSE(TABLE '{self.name}_rows')) LAYOUT({self._layout}()) LIFETIME(0)"
            )
        else:
            self._store.load(f"{self.name}_rows", self._structure, "JSONCompactEachRow", [rows])
            self._store.command(f"SYSTEM RELOAD DICTIONARY {self.name}")
        self._known.update(new)

    def forget(self) -> None:
        self._store.command(f"DROP DICTIONARY IF EXISTS {self.name}")
        self._store.command(f"DROP TABLE IF EXISTS {self.name}_rows")


def warm() -> None:
    """Load what explains user agents and referrers, while the engine is still reading."""
    _agent("Mozilla/5.0", "")
    _source("www.example.org", "")


def _agent_fields(value: str) -> list[Any]:
    """Of what is no page (a NUL stands before its user agent), only whether a program asked for it."""
    found = _agent(value.removeprefix("\0")[:MAX_USER_AGENT], "")
    return ["", "", "", "", "", found.bot] if value.startswith("\0") else [*_fields(found)]


@lru_cache(100_000)
def _link(link: str, allowed: frozenset[str], own: frozenset[str]) -> tuple[str, ...]:
    if not link:  # no page
        return ("",) * len(LINK_FIELDS)
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
