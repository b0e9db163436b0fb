"""The query language refuses what it does not know, with the path of the fault; what it takes, it echoes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reports.errors import QueryError
from analytics.reports.openapi import query_schema
from analytics.reports.query import Query, parse, parse_object, to_object

PLAIN: dict[str, Any] = {"site_id": "site.example", "metrics": ["visitors"], "date_range": "7d"}
DEEP: Any = ["is", "event:page", ["/"]]
for _ in range(12):
    DEEP = ["not", DEEP]

FAULTS = [
    ({"site_id": None}, "$.site_id", "str"),
    ({"metrics": []}, "$.metrics", "length"),
    ({"metrics": ["visitrs"]}, "$.metrics[0]", 'did you mean "visitors"'),
    ({"metrics": ["visitors", "visitors"]}, "$.metrics[1]", "twice"),
    ({"date_range": 7}, "$.date_range", "int"),
    ({"metrcs": 1}, "$.metrcs", "unknown key"),
    ({"dimensions": ["visit:sauce"]}, "$.dimensions[0]", 'did you mean "visit:source"'),
    ({"dimensions": ["time:day", "time:hour"]}, "$.dimensions", "one time dimension"),
    ({"filters": [["iz", "event:page", ["/"]]]}, "$.filters[0]", "operator"),
    ({"filters": [["is", "event:page"]]}, "$.filters[0]", "length"),
    ({"filters": [["is", "event:page", ["/"], {}, 1]]}, "$.filters[0]", "at most"),
    ({"filters": [["is", "event:page", []]]}, "$.filters[0][2]", "length"),
    ({"filters": [["is", "event:page", [1]]]}, "$.filters[0][2][0]", "string"),
    ({"filters": [["is", "time:day", ["2026-01-01"]]]}, "$.filters[0][1]", "date_range"),
    ({"filters": [["is", "visit:country", ["Austria"]]]}, "$.filters[0][2][0]", "two-letter"),
    ({"filters": [["is_not", "event:goal", ["Signup"]]]}, "$.filters[0][0]", "is and contains"),
    ({"filters": [["and", []]]}, "$.filters[0][1]", "length"),
    ({"filters": [["or", [["is", "visit:x", ["/"]]]]]}, "$.filters[0][1][0][1]", "not a dimension"),
    ({"filters": [["has_done", ["is", "visit:source", ["x"]]]]}, "$.filters[0][1][1]", "event dimensions"),
    ({"filters": [["has_done", ["has_done", ["is", "event:page", ["/"]]]]]}, "$.filters[0][1]", "nested"),
    ({"filters": [DEEP]}, "$.filters[0][1][1]", "deeper"),
    ({"filters": [["is", "event:page", ["/\x00"]]]}, "$.filters[0][2][0]", "NUL"),
    ({"order_by": [["pageviews", "desc"]]}, "$.order_by[0]", "not a queried"),
    ({"order_by": [["visitors", "down"]]}, "$.order_by[0][1]", "enum"),
    ({"include": {"time_labels": True}}, "$.include.time_labels", "time dimension"),
    ({"include": {"pages": True}}, "$.include.pages", "unknown key"),
    ({"pagination": {"limit": 10_001}}, "$.pagination.limit", "10000"),
    ({"pagination": {"offset": -1}}, "$.pagination.offset", ">= 0"),
    ({"metrics": ["conversion_rate"]}, "$.metrics[0]", "event:goal"),
    ({"metrics": ["scroll_depth"]}, "$.metrics[0]", "event:page"),
    ({"metrics": ["percentage"]}, "$.metrics[0]", "requires a dimension"),
    ({"metrics": ["bounce_rate"], "dimensions": ["event:name"]}, "$.metrics[0]", "session metric"),
    ({"with_intervals": True}, "$.with_intervals", "released"),
    ({"lane": "raw"}, "$.lane", "enum"),
]


@pytest.mark.parametrize(("change", "path", "words"), FAULTS, ids=[f"{path} {words}" for _, path, words in FAULTS])
def test_a_fault_is_named_by_its_path(change: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(json.dumps(PLAIN | change).encode())
    assert caught.value.path.startswith(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"site_id": "x"}', b" " * 70_000, b"[" * 60_000]
)
def test_what_is_no_query_is_refused(body: bytes) -> None:
    with pytest.raises(QueryError):
        parse(body)


def test_the_published_schema_takes_what_the_parser_takes() -> None:
    schema = query_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for query in (
        PLAIN,
        PLAIN | {"dimensions": ["time:day", "event:props:plan"], "include": {"time_labels": True}},
        PLAIN | {"filters": [["or", [["not", DEEP[1]], ["has_done", ["is", "event:goal", ["x"]]]]]]},
        PLAIN
        | {"filters": [["is", "visit:source", ["x"], {"case_sensitive": False}]], "date_range": ["2026-01-01"] * 2},
    ):
        validator.validate(query)
    for change in (
        {"metrics": ["visitrs"]},
        {"dimensions": ["visit:sauce"]},
        {"nope": 1},
        {"pagination": {"limit": 0}},
    ):
        assert list(validator.iter_errors(PLAIN | change)), change


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["is", "and", "event:page", "not"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from([*Query.__struct_fields__, "other"]), value=VALUES)
def test_no_value_makes_the_parser_fall_over(key: str, value: Any) -> None:
    try:
        query = parse(msgspec.json.encode(PLAIN | {key: value}))
    except QueryError:
        return
    assert parse_object(to_object(query)) == query
