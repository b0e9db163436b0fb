"""Names of countries for codes and back; the store keeps ISO 3166-1 codes only (English names from Unicode CLDR)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import msgspec

from analytics.reports.errors import QueryError
from analytics.reports.query import Contains, ContainsNot, Is, IsNot, Leaf, Matches

UNKNOWN = "(not set)"


@cache
def country_names() -> dict[str, str]:
    raw = files("analytics.reports").joinpath("countries.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, str])


def country_name(code: str) -> str:
    return country_names().get(code, code or UNKNOWN)


def codes_for(leaf: Leaf) -> list[str]:
    """The country codes whose names a filter lets through; a country without a name counts as `(not set)`."""
    names = {**country_names(), "": UNKNOWN}
    return [code for code, name in names.items() if _passes(leaf, name)]


def _passes(leaf: Leaf, name: str) -> bool:
    clauses = [str(clause) for clause in leaf.clauses]
    if isinstance(leaf, Is | IsNot | Contains | ContainsNot):
        if not leaf.modifiers.case_sensitive:
            name, clauses = name.lower(), [clause.lower() for clause in clauses]
        if isinstance(leaf, Is | IsNot):
            return (name in clauses) is isinstance(leaf, Is)
        return any(clause in name for clause in clauses) is isinstance(leaf, Contains)
    try:
        found = any(re.search(clause, name) for clause in clauses)
    except re.error as error:
        raise QueryError("$.filters", f"not a regular expression: {error}") from None
    return found is isinstance(leaf, Matches)
