"""The query language and the API as JSON Schema and OpenAPI 3.1, generated from the structs that parse it."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from analytics import __version__
from analytics.reports.exploring import QUESTIONS
from analytics.reports.query import Query
from analytics.reports.saved import TYPES

BEARER: list[dict[str, list[str]]] = [{"token": []}]


@cache
def _components() -> tuple[dict[type, Any], dict[str, Any]]:
    types: list[Any] = [Query, *QUESTIONS.values(), *TYPES.values()]
    schemas, parts = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return dict(zip(types, schemas, strict=True)), parts


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
    return _json(description, schema)


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

NUMBER_OR_FEW = {"type": ["integer", "null"], "description": "null: too few visitors to show"}
PAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["page", "visitors"],
        "properties": {
            "page": {"type": "string", "description": "Empty for the beginning or end of a visit"},
            "visitors": {"type": "integer"},
        },
    },
}
EXPLORED: dict[str, tuple[str, dict[str, Any]]] = {
    "funnel": (
        "How many visitors reached each goal after the one before",
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["step", "visitors", "of_first"],
                "properties": {
                    "step": {"type": "string"},
                    "visitors": NUMBER_OR_FEW,
                    "of_first": {"type": ["number", "null"], "description": "Per cent of the first step"},
                },
            },
        },
    ),
    "journey": (
        "Pages seen right before and right after one",
        {
            "type": "object",
            "required": ["previous", "next"],
            "properties": {"previous": PAGES, "next": PAGES},
        },
    ),
    "cohorts": (
        "Visitors by the week of their first visit, and how many came back in each week after",
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["week", "visitors"],
                "properties": {
                    "week": {"type": "string", "description": "Its Monday"},
                    "visitors": {"type": "array", "items": NUMBER_OR_FEW},
                },
            },
        },
    ),
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    schemas, parts = _components()
    refusals = {
        "400": _error("The query cannot be answered; `path` says where the fault is"),
        "401": _error("The token is missing or wrong, or does not see this site"),
        "429": _error("Too many failed attempts"),
        "503": _error("It took too much time or memory; with `Retry-After`: ask again after so many seconds"),
    }
    body = {"required": True, "content": {"application/json": {"schema": schemas[Query]}}}
    answered = _json("The answer", ANSWER)
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
            **{f"/api/v2/{what}": {"post": _explored(what, schemas[QUESTIONS[what]], refusals)} for what in EXPLORED},
            **_definitions(schemas, refusals),
            "/api/progress/{id}": {"get": _progress(refusals)},
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
    plain = _json("Found", {"type": "object"})
    return {"summary": summary, "security": BEARER, "responses": {"200": plain, **refusals}}


def _explored(what: str, schema: dict[str, Any], refusals: dict[str, Any]) -> dict[str, Any]:
    summary, results = EXPLORED[what]
    answer = {"type": "object", "required": ["results"], "properties": {"results": results}}
    return {
        "summary": summary,
        "security": BEARER,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": _json("The answer", answer), **refusals},
    }


def _definitions(schemas: dict[type, Any], refusals: dict[str, Any]) -> dict[str, Any]:
    """What people define for a site: to list, to add (the same name again replaces), to remove."""
    where: list[dict[str, Any]] = [
        {"name": "kind", "in": "path", "required": True, "schema": {"enum": list(TYPES)}},
        {"name": "site", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1}},
    ]
    id_ = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
    definition = {"anyOf": [schemas[type_] for type_ in TYPES.values()]}
    held = {"type": "object", "properties": {"id": {"type": "integer"}, "definition": definition}}
    several = {"type": "object", "properties": {"definitions": {"type": "array", "items": held}}}
    removed = {"type": "object", "properties": {"removed": {"type": "boolean"}}}
    refusals = {**refusals, "403": _error("The token may not do that")}
    return {
        "/api/definitions/{kind}": {
            "get": {
                "summary": "Goals, segments, funnels, annotations and letters of a site",
                "security": BEARER,
                "parameters": where,
                "responses": {"200": _json("Found", several), **refusals},
            },
            "post": {
                "summary": "Define one; the same name again replaces it",
                "security": BEARER,
                "parameters": where,
                "requestBody": {"required": True, "content": {"application/json": {"schema": definition}}},
                "responses": {"201": _json("Kept", held), **refusals},
            },
        },
        "/api/definitions/{kind}/{id}": {
            "delete": {
                "summary": "Remove one",
                "security": BEARER,
                "parameters": [*where, id_],
                "responses": {"200": _json("Removed", removed), **refusals, "404": _json("There was none", removed)},
            }
        },
    }


def _progress(refusals: dict[str, Any]) -> dict[str, Any]:
    asked = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "summary": "How far a running question is, which was asked with the header `x-question: ID`",
        "security": BEARER,
        "parameters": [asked],
        "responses": {
            "200": _json("It is running", {"type": "object"}),
            "404": _error("No question of this token has this id and is running"),
            **refusals,
        },
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
