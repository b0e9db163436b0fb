"""The query language and the API as JSON Schema and OpenAPI 3.1, generated from the structs that parse it."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from analytics import __version__
from analytics.reports.goals import Goal
from analytics.reports.query import Query
from analytics.reports.saved import Annotation, Funnel, Segment

BEARER: list[dict[str, list[str]]] = [{"token": []}]


@cache
def _components() -> tuple[dict[str, Any], dict[str, Any]]:
    schemas, parts = msgspec.json.schema_components(
        [Query, Goal, Segment, Funnel, Annotation], ref_template="#/components/schemas/{name}"
    )
    return {"query": schemas[0]}, parts


@cache
def query_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a query."""
    schema = msgspec.json.schema(Query)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _error(description: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "path": {"type": "string"}, "nearest": {"type": "string"}},
        "required": ["error"],
    }
    return {"description": description, "content": {"application/json": {"schema": schema}}}


ANSWER = {
    "type": "object",
    "required": ["results", "meta", "query"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["metrics", "dimensions"],
                "properties": {
                    "metrics": {"type": "array", "items": {"type": ["number", "object", "null"]}},
                    "dimensions": {"type": "array", "items": {"type": ["string", "null"]}},
                    "intervals": {"type": "array", "description": "95 % intervals, on the released lane"},
                    "below_noise": {
                        "type": "array",
                        "items": {"type": "boolean"},
                        "description": "with the intervals: whether a number can't be told from nothing by itself",
                    },
                    "comparison": {"type": "object"},
                },
            },
        },
        "meta": {"type": "object"},
        "query": {"type": "object", "description": "The query as it was answered, defaults filled in"},
    },
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    query, parts = _components()
    refusals = {
        "400": _error("The query cannot be answered; `path` says where the fault is"),
        "401": _error("The token is missing or wrong, or does not see this site"),
        "429": _error("Too many failed attempts"),
        "503": _error("It took too much time or memory; with `Retry-After`: ask again after so many seconds"),
    }
    body = {"required": True, "content": {"application/json": {"schema": query["query"]}}}
    answered = {"description": "The answer", "content": {"application/json": {"schema": ANSWER}}}
    ask: dict[str, Any] = {"summary": "Ask for statistics", "security": BEARER, "requestBody": body}
    ask["responses"] = {"200": answered, **refusals}
    formats = {"name": "format", "in": "query", "schema": {"enum": ["csv", "json", "parquet", "arrow"]}}
    export: dict[str, Any] = {
        "summary": "The answer as a file",
        "security": BEARER,
        "requestBody": body,
        "parameters": [formats],
    }
    export["responses"] = {"200": {"description": "The file"}, **refusals}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Analytics", "version": __version__, "description": "Aggregated statistics of a site."},
        "paths": {
            "/api/v2/query": {"post": ask},
            "/api/v2/export": {"post": export},
            "/api/sites": {"get": _get("Sites that the token sees", refusals)},
            "/api/releases": {"get": _get("Sealed releases and their signed manifests", refusals)},
            "/api/query-log": {"get": _get("Who asked what, when (auditors and operators)", refusals)},
        },
        "components": {
            "schemas": parts,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _get(summary: str, refusals: dict[str, Any]) -> dict[str, Any]:
    plain = {"description": "Found", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"summary": summary, "security": BEARER, "responses": {"200": plain, **refusals}}
