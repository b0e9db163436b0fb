"""The query as data: Plausible's Stats API v2, parsed strictly into frozen structs that are its published schema too.

`parse` is the only way in. It raises `QueryError` with the path of the fault; what comes out of it is trusted inside.
`lane` and `with_intervals` are this project's only additions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from analytics.reports import words
from analytics.reports.errors import QueryError, did_you_mean
from analytics.reports.words import Metric

MAX_BODY = 64 * 1024
MAX_CLAUSES = 500
MAX_DEPTH = 8
MAX_DIMENSIONS = 6

Dimension = Annotated[
    str,
    Meta(
        max_length=200,
        description="What to group by",
        extra_json_schema={"anyOf": [{"enum": list(words.DIMENSIONS)}, {"pattern": "^event:props:.+"}]},
    ),
]
FilterDimension = Annotated[
    str,
    Meta(
        max_length=200,
        description="What to filter by",
        extra_json_schema={
            "anyOf": [
                {"enum": ["segment", *words.EVENT_DIMENSIONS, *words.VISIT_DIMENSIONS]},
                {"pattern": "^event:props:.+"},
            ]
        },
    ),
]
Clause = Annotated[str, Meta(max_length=2000)] | int
Clauses = Annotated[tuple[Clause, ...], Meta(min_length=1, max_length=MAX_CLAUSES)]


class Modifiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"case_sensitive": false}` makes `is`, `is_not`, `contains` and `contains_not` ignore case."""

    case_sensitive: bool = True


class Is(msgspec.Struct, frozen=True, array_like=True, tag="is", forbid_unknown_fields=True):
    dimension: FilterDimension
    clauses: Clauses
    modifiers: Modifiers = Modifiers()


class IsNot(msgspec.Struct, frozen=True, array_like=True, tag="is_not", forbid_unknown_fields=True):
    dimension: FilterDimension
    clauses: Clauses
    modifiers: Modifiers = Modifiers()


class Contains(msgspec.Struct, frozen=True, array_like=True, tag="contains", forbid_unknown_fields=True):
    dimension: FilterDimension
    clauses: Clauses
    modifiers: Modifiers = Modifiers()


class ContainsNot(msgspec.Struct, frozen=True, array_like=True, tag="contains_not", forbid_unknown_fields=True):
    dimension: FilterDimension
    clauses: Clauses
    modifiers: Modifiers = Modifiers()


class Matches(msgspec.Struct, frozen=True, array_like=True, tag="matches", forbid_unknown_fields=True):
    """RE2 syntax."""

    dimension: FilterDimension
    clauses: Clauses


class MatchesNot(msgspec.Struct, frozen=True, array_like=True, tag="matches_not", forbid_unknown_fields=True):
    """RE2 syntax."""

    dimension: FilterDimension
    clauses: Clauses


class And(msgspec.Struct, frozen=True, array_like=True, tag="and", forbid_unknown_fields=True):
    filters: Annotated[tuple[Filter, ...], Meta(min_length=1, max_length=100)]


class Or(msgspec.Struct, frozen=True, array_like=True, tag="or", forbid_unknown_fields=True):
    filters: Annotated[tuple[Filter, ...], Meta(min_length=1, max_length=100)]


class Not(msgspec.Struct, frozen=True, array_like=True, tag="not", forbid_unknown_fields=True):
    filter: Filter


class HasDone(msgspec.Struct, frozen=True, array_like=True, tag="has_done", forbid_unknown_fields=True):
    """The visit holds an event that the inner filter matches."""

    filter: Filter


class HasNotDone(msgspec.Struct, frozen=True, array_like=True, tag="has_not_done", forbid_unknown_fields=True):
    """The visit holds no event that the inner filter matches."""

    filter: Filter


Leaf: TypeAlias = Is | IsNot | Contains | ContainsNot | Matches | MatchesNot
Filter: TypeAlias = Is | IsNot | Contains | ContainsNot | Matches | MatchesNot | And | Or | Not | HasDone | HasNotDone


class Include(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Further parts of the answer."""

    imports: bool = False
    time_labels: bool = False
    total_rows: bool = False
    compare: Literal["previous_period", "year_over_year"] | tuple[str, str] | None = None


class Pagination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0


SiteName = Annotated[str, Meta(min_length=1, max_length=255, description="The site's name")]
DateRange = Annotated[
    str | tuple[str, str],
    Meta(
        description="A named range, or a pair of ISO 8601 dates or timestamps",
        examples=[*words.DATE_RANGES, ["2026-01-01", "2026-01-31"]],
    ),
]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question to the statistics of one site."""

    site_id: SiteName
    metrics: Annotated[tuple[Metric, ...], Meta(min_length=1, max_length=14, extra_json_schema={"uniqueItems": True})]
    date_range: DateRange
    dimensions: Annotated[
        tuple[Dimension, ...], Meta(max_length=MAX_DIMENSIONS, extra_json_schema={"uniqueItems": True})
    ] = ()
    filters: Annotated[tuple[Filter, ...], Meta(max_length=100)] = ()
    order_by: Annotated[tuple[tuple[str, Literal["asc", "desc"]], ...], Meta(max_length=20)] | None = None
    include: Include = Include()
    pagination: Pagination = Pagination()
    lane: Literal["internal", "released"] = "internal"
    with_intervals: bool = False


_decode = msgspec.json.Decoder(Query).decode


def parse(body: bytes) -> Query:
    """A query from JSON bytes; QueryError names the path of the first fault."""
    if len(body) > MAX_BODY:
        raise QueryError("$", f"the query is larger than {MAX_BODY} bytes")
    try:
        query = _decode(body)
    except msgspec.ValidationError as error:
        raise refusal(error, body, Query.__struct_fields__) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QueryError("$", f"not a JSON document: {error}") from None
    check(query)
    return query


def parse_object(value: object) -> Query:
    """A query from an already decoded object (the dashboard and the command line build these)."""
    return parse(msgspec.json.encode(value))


LONGEST = {"is": 4, "is_not": 4, "contains": 4, "contains_not": 4, "matches": 3, "matches_not": 3}
OPERATORS = (*LONGEST, "and", "or", "not", "has_done", "has_not_done")


def _too_long(filters: object, path: str) -> str | None:
    """Where a filter has too many parts: the one path that the decoder does not give."""
    for index, filter_ in enumerate(filters if isinstance(filters, list) else ()):
        if not isinstance(filter_, list) or not filter_ or not isinstance(filter_[0], str):
            continue
        here = f"{path}[{index}]"
        if len(filter_) > LONGEST.get(filter_[0], 2):
            return here
        inner = filter_[1] if filter_[0] in ("and", "or") else filter_[1:2]
        step = f"{here}[1]" if filter_[0] in ("and", "or") else here
        if filter_[0] not in LONGEST and (found := _too_long(inner, step)):
            return found
    return None


def refusal(error: msgspec.ValidationError, body: bytes, fields: tuple[str, ...]) -> QueryError:
    """What msgspec says of a body, in our words; `fields` are the keys that the body may have."""
    reason, _, path = str(error).partition(" - at `")
    path = path.rstrip("`") or "$"
    if path == "$" and reason.startswith("Expected `array` of at most length"):
        raw = msgspec.json.decode(body)
        path = _too_long(raw.get("filters"), "$.filters") or "$.order_by"
    if reason.startswith("Object missing required field"):
        return QueryError(path, f"{reason.split('`')[1]} is required")
    if reason.startswith("Object contains unknown field"):
        name = reason.split("`")[1]
        return QueryError(f"{path}.{name}", f"unknown key{did_you_mean(name, fields if path == '$' else ())}")
    if "Invalid enum value" in reason and "metrics" in path:
        word = reason.removeprefix("Invalid enum value ").strip("'")
        return QueryError(path, f'"{word}" is not a metric{did_you_mean(word, words.METRICS)}')
    if path.startswith("$.filters") and "Invalid value" in reason:
        word = reason.removeprefix("Invalid value ").strip("'")
        return QueryError(path.removesuffix("[0]"), f'unknown operator "{word}" (known: {", ".join(OPERATORS)})')
    return QueryError(path, reason[:1].lower() + reason[1:])


def check(query: Query) -> None:
    """The rules that a schema cannot say; raises QueryError."""
    for index, dimension in enumerate(query.dimensions):
        _known(dimension, f"$.dimensions[{index}]", words.DIMENSIONS)
    _unique(query.metrics, "$.metrics")
    _unique(query.dimensions, "$.dimensions")
    if sum(map(words.is_time, query.dimensions)) > 1:
        raise QueryError("$.dimensions", "only one time dimension can be grouped by")
    check_filters(query.filters)
    for index, (key, _) in enumerate(query.order_by or ()):
        if key not in query.metrics and key not in query.dimensions:
            raise QueryError(f"$.order_by[{index}]", f'"{key}" is not a queried metric or dimension')
    if query.include.time_labels and not any(map(words.is_time, query.dimensions)):
        raise QueryError("$.include.time_labels", "requires a time dimension")
    if query.with_intervals and query.lane != "released":
        raise QueryError("$.with_intervals", 'only the released lane has intervals: set lane to "released"')
    _check_metrics(query)


def check_filters(filters: tuple[Filter, ...]) -> None:
    """The same of filters alone, of a query or of a segment."""
    for index, filter_ in enumerate(filters):
        _check_filter(filter_, f"$.filters[{index}]", 1, behavioural=False)


def _unique(values: tuple[str, ...], path: str) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise QueryError(f"{path}[{index}]", f'"{value}" is listed twice')


def _known(dimension: str, path: str, known: tuple[str, ...]) -> None:
    if dimension not in known and not words.is_property(dimension):
        raise QueryError(path, f'"{dimension}" is not a dimension{did_you_mean(dimension, known)}')


_FILTERABLE = ("segment", *words.EVENT_DIMENSIONS, *words.VISIT_DIMENSIONS)


def _check_filter(filter_: Filter, path: str, depth: int, *, behavioural: bool) -> None:
    if depth > MAX_DEPTH:
        raise QueryError(path, f"filters are nested deeper than {MAX_DEPTH}")
    match filter_:
        case And(filters) | Or(filters):
            for index, inner in enumerate(filters):
                _check_filter(inner, f"{path}[1][{index}]", depth + 1, behavioural=behavioural)
        case Not(inner):
            _check_filter(inner, f"{path}[1]", depth + 1, behavioural=behavioural)
        case HasDone(inner) | HasNotDone(inner):
            if behavioural:
                raise QueryError(path, "has_done and has_not_done cannot be nested")
            _check_filter(inner, f"{path}[1]", depth + 1, behavioural=True)
        case _:
            _check_leaf(filter_, path, behavioural=behavioural)


def _check_leaf(leaf: Leaf, path: str, *, behavioural: bool) -> None:
    if words.is_time(leaf.dimension):
        raise QueryError(f"{path}[1]", "time dimensions cannot be filtered by; set date_range instead")
    _known(leaf.dimension, f"{path}[1]", _FILTERABLE)
    if behavioural and not words.is_event(leaf.dimension):
        raise QueryError(f"{path}[1]", "has_done and has_not_done take event dimensions only")
    if leaf.dimension == "event:goal" and not isinstance(leaf, Is | Contains):
        raise QueryError(f"{path}[0]", "event:goal can be filtered by is and contains only")
    if leaf.dimension == "segment" and not isinstance(leaf, Is):
        raise QueryError(f"{path}[0]", "segment can be filtered by is only")
    for index, clause in enumerate(leaf.clauses):
        where = f"{path}[2][{index}]"
        if leaf.dimension == "segment":
            if isinstance(clause, str):
                raise QueryError(where, "a segment is named by its number")
        elif isinstance(clause, int) and leaf.dimension != "visit:city":
            raise QueryError(where, "expected a string")
        if leaf.dimension == "visit:country" and isinstance(leaf, Is | IsNot) and not _is_country(str(clause)):
            raise QueryError(where, 'visit:country takes two-letter country codes, or "(not set)"')
        if "\x00" in str(clause):
            raise QueryError(where, "a clause cannot hold a NUL")


def leaves(filters: tuple[Filter, ...]) -> list[tuple[Leaf, bool]]:
    """Every simple filter of a tree, with whether it stands inside has_done or has_not_done."""
    found: list[tuple[Leaf, bool]] = []

    def walk(filter_: Filter, behavioural: bool) -> None:
        match filter_:
            case And(inner) | Or(inner):
                for each in inner:
                    walk(each, behavioural)
            case Not(each):
                walk(each, behavioural)
            case HasDone(each) | HasNotDone(each):
                walk(each, True)
            case _:
                found.append((filter_, behavioural))

    for filter_ in filters:
        walk(filter_, False)
    return found


def _check_metrics(query: Query) -> None:
    filtered = {leaf.dimension for leaf, behavioural in leaves(query.filters) if not behavioural}
    used = filtered | set(query.dimensions)
    for index, metric in enumerate(query.metrics):
        path = f"$.metrics[{index}]"
        if metric in words.PAGE_METRICS and "event:page" not in used:
            raise QueryError(path, f"{metric} can only be queried with an event:page filter or dimension")
        if metric in words.RATE_METRICS and "event:goal" not in used:
            raise QueryError(path, f"{metric} can only be queried with an event:goal filter or dimension")
        if metric == "percentage" and not query.dimensions:
            raise QueryError(path, "percentage requires a dimension")
        if metric in words.SESSION_METRICS:
            mixed = [d for d in query.dimensions if words.is_event(d) and d != "event:page"]
            if mixed:
                raise QueryError(path, f"session metric {metric} cannot be queried along with dimension {mixed[0]}")


def to_object(query: Query) -> dict[str, Any]:
    """The query as plain JSON values, defaults included."""
    value: dict[str, Any] = msgspec.to_builtins(query)
    return value


def _is_country(clause: str) -> bool:
    """A code, or what an answer calls a country that is not known."""
    return len(clause) == 2 or clause == "(not set)"
