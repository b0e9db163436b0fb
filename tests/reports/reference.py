"""The query language once more: slow, obvious, over plain lists of rows. Shares no code with what it checks."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
GAP = dt.timedelta(minutes=30)
EMPTY = {"visit:source": "Direct / None", "visit:referrer": "Direct / None", "visit:channel": "Direct"}
FIELDS = {
    "event:name": "name",
    "event:page": "path",
    "event:hostname": "host",
    "visit:source": "source",
    "visit:channel": "channel",
    "visit:referrer": "referrer_host",
    **{f"visit:{name}": name for name in ("utm_medium", "utm_source", "utm_campaign", "utm_content", "utm_term")},
    **{f"visit:{name}": name for name in ("country", "region", "city", "device")},
    **{f"visit:{name}": name for name in ("browser", "browser_version", "os", "os_version")},
    "visit:region_name": "region",
    "visit:city_name": "city",
    "visit:screen": "device",
}
EDGES = {
    "visit:entry_page": (0, "path"),
    "visit:exit_page": (-1, "path"),
    "visit:entry_page_hostname": (0, "host"),
    "visit:exit_page_hostname": (-1, "host"),
}
OF_VISIT = {"visit:source", "visit:referrer", "visit:channel", *EDGES, *(name for name in FIELDS if "utm_" in name)}
OF_BROWSER = ("country", "region", "city", "browser", "browser_version", "os", "os_version", "device")


class Visit:
    """Rows of one visitor with no gap above 30 minutes; a row without a key stands alone and is nobody's visit."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows, self.visitor = rows, rows[0]["visitor"]
        self.views = [row for row in rows if row["name"] == "pageview"]
        self.events = [row for row in rows if row["name"] not in ("pageview", "engagement")]

    def value(self, dimension: str, *, page_is_entry: bool = False) -> str:
        if dimension == "event:page" and page_is_entry:
            dimension = "visit:entry_page"
        if dimension in EDGES:
            edge, field = EDGES[dimension]
            return (self.views[edge][field] if self.views else "") or "(not set)"
        return shown(dimension, self.rows[0])


def shown(dimension: str, row: Row) -> str:
    if dimension.startswith("event:props:"):
        return row["props"].get(dimension.removeprefix("event:props:"), "") or "(none)"
    return row[FIELDS[dimension]] or EMPTY.get(dimension, "(not set)")


def visits_of(rows: Iterable[Row]) -> list[Visit]:
    by_visitor: dict[int, list[Row]] = defaultdict(list)
    found = []
    for row in rows:
        if row["visitor"] and row["kind"] != "count":
            by_visitor[row["visitor"]].append(row)
        else:
            found.append(Visit([{**row, "visitor": 0}]))
    for own in by_visitor.values():
        own.sort(key=lambda row: (row["at"], row["name"]))
        run: list[Row] = []
        for row in own:
            if run and row["at"] - run[-1]["at"] > GAP:
                found.append(Visit(run))
                run = []
            run.append(row)
        found.append(Visit(run))
    return found


def leaf(filter_: list[Any], value: str) -> bool:
    """`is` is about what is shown; `contains` and `matches` look into what is stored."""
    operator, _, clauses, *rest = filter_
    stored = "" if value in EMPTY_SHOWN else value
    if rest and rest[0].get("case_sensitive") is False:
        value, stored, clauses = value.lower(), stored.lower(), [clause.lower() for clause in clauses]
    word = operator.removesuffix("_not")
    found = {
        "is": lambda: value in clauses,
        "contains": lambda: any(clause in stored for clause in clauses),
        "matches": lambda: any(re.search(clause, stored) for clause in clauses),
    }[word]()
    return bool(found) is not operator.endswith("_not")


EMPTY_SHOWN = {*EMPTY.values(), "(not set)", "(none)"}


def goals_of(row: Row, goals: list[dict[str, str]]) -> list[str]:
    found = []
    for goal in goals:
        if goal.get("event"):
            reached = row["name"] == goal["event"]
        else:
            pattern = re.escape(goal["page"]).replace(r"\*", "[^/]*")
            reached = row["name"] == "pageview" and re.fullmatch(pattern, row["path"]) is not None
        if reached:
            found.append(goal["name"])
    return found


def passes(filter_: list[Any], row: Row, visit: Visit, goals: list[dict[str, str]]) -> bool:
    operator = filter_[0]
    if operator == "and":
        return all(passes(each, row, visit, goals) for each in filter_[1])
    if operator == "or":
        return any(passes(each, row, visit, goals) for each in filter_[1])
    if operator == "not":
        return not passes(filter_[1], row, visit, goals)
    if operator in ("has_done", "has_not_done"):
        done = any(passes(filter_[1], other, visit, goals) for other in visit.rows)
        return done is (operator == "has_done")
    dimension = filter_[1]
    if dimension == "event:goal":
        return any(leaf(filter_, name) for name in goals_of(row, goals))
    value = visit.value(dimension) if dimension in OF_VISIT else shown(dimension, row)
    return leaf(filter_, value)


def keys_of(
    dimensions: list[str], row: Row, visit: Visit, zone: str, goals: list[dict[str, str]], *, by_visit: bool
) -> list[tuple[str, ...]]:
    """The groups that a row belongs to: several when it reaches several goals."""
    keys: list[tuple[str, ...]] = [()]
    for dimension in dimensions:
        if dimension.startswith("time:"):
            at = (visit.rows[0] if by_visit else row)["at"].astimezone(ZoneInfo(zone))
            values = [time_label(dimension, at)]
        elif dimension == "event:goal":
            values = goals_of(row, goals)
        elif by_visit or dimension in OF_VISIT:
            values = [visit.value(dimension, page_is_entry=by_visit)]
        else:
            values = [shown(dimension, row)]
        keys = [(*key, value) for key in keys for value in values]
    return keys


def time_label(dimension: str, at: dt.datetime) -> str:
    day = at.date()
    return {
        "time:minute": at.strftime("%Y-%m-%d %H:%M:00"),
        "time:hour": at.strftime("%Y-%m-%d %H:00:00"),
        "time:day": day.isoformat(),
        "time:week": (day - dt.timedelta(days=day.weekday())).isoformat(),
        "time:month": day.replace(day=1).isoformat(),
    }[dimension]


def answer(
    rows: list[Row], query: dict[str, Any], goals: list[dict[str, str]], zone: str
) -> dict[tuple[str, ...], list[Any]]:
    dimensions, filters = query["dimensions"], query["filters"]
    visits = visits_of(rows)
    of_rows: dict[tuple[str, ...], list[tuple[Row, Visit]]] = defaultdict(list)
    of_visits: dict[tuple[str, ...], list[Visit]] = defaultdict(list)
    for visit in visits:
        for row in visit.rows:
            if all(passes(each, row, visit, goals) for each in filters):
                for key in keys_of(dimensions, row, visit, zone, goals, by_visit=False):
                    of_rows[key].append((row, visit))
        if visit.visitor and "event:goal" not in dimensions and matching(visit, filters, dimensions, goals):
            for key in keys_of(dimensions, visit.rows[0], visit, zone, goals, by_visit=True):
                of_visits[key].append(visit)
    if not dimensions:
        of_rows[()], of_visits[()] = of_rows[()], of_visits[()]
    whole = {row["visitor"] for own in of_rows.values() for row, _ in own} - {0}
    without_goal = answer_without_goal(visits, filters, goals)
    kept = [number for number, dimension in enumerate(dimensions) if dimension != "event:goal"]
    groups = groups_without_goal(visits, filters, [dimensions[number] for number in kept], zone, goals)
    by_event = any(dimension.startswith("event:") for dimension in dimensions)
    asked_of_visits = [m for m in query["metrics"] if m in SESSION or (m == "visits" and not by_event)]
    asked_of_rows = [m for m in query["metrics"] if m not in asked_of_visits]
    keys = (set(of_rows) if asked_of_rows else set()) | (set(of_visits) if asked_of_visits else set())
    found = {}
    for key in keys:
        counted = {"rows": of_rows.get(key, []), "visits": of_visits.get(key, [])}
        group = groups.get(tuple(key[number] for number in kept), set())
        currency = currency_of(query, key, goals)
        found[key] = [
            metric(name, counted, whole, group if name == "group_conversion_rate" else without_goal, by_event)
            if "revenue" not in name
            else revenue(name, counted["rows"])
            if currency
            else None
            for name in query["metrics"]
        ]
    return found


def matching(visit: Visit, filters: list[Any], dimensions: list[str], goals: list[dict[str, str]]) -> bool:
    """A visit passes when one of its rows passes everything; by page, a filter on the page means the entry page."""
    entry = "event:page" in dimensions

    def rewritten(each: list[Any]) -> list[Any]:
        if each[0] in ("and", "or"):
            return [each[0], [rewritten(inner) for inner in each[1]]]
        if each[0] == "not":
            return ["not", rewritten(each[1])]
        if each[0] in ("has_done", "has_not_done"):
            return each
        return [each[0], "visit:entry_page", *each[2:]] if each[1] == "event:page" else each

    wanted = [rewritten(each) for each in filters] if entry else filters
    of_first = {field: visit.rows[0][field] for field in OF_BROWSER}
    return any(all(passes(each, {**row, **of_first}, visit, goals) for each in wanted) for row in visit.rows)


def answer_without_goal(visits: list[Visit], filters: list[Any], goals: list[dict[str, str]]) -> set[int]:
    kept = [each for each in filters if each[1] != "event:goal"]
    found = {
        row["visitor"]
        for visit in visits
        for row in visit.rows
        if all(passes(each, row, visit, goals) for each in kept)
    }
    return found - {0}


def groups_without_goal(
    visits: list[Visit], filters: list[Any], dimensions: list[str], zone: str, goals: list[dict[str, str]]
) -> dict[tuple[str, ...], set[int]]:
    kept = [each for each in filters if each[1] != "event:goal"]
    found: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for visit in visits:
        for row in visit.rows:
            if row["visitor"] and all(passes(each, row, visit, goals) for each in kept):
                for key in keys_of(dimensions, row, visit, zone, goals, by_visit=False):
                    found[key].add(row["visitor"])
    return found


def currency_of(query: dict[str, Any], key: tuple[str, ...], goals: list[dict[str, str]]) -> str:
    """That of the goal that a line is about, or of the only goal with one among those that are filtered by."""
    currencies = {goal["name"]: goal.get("currency", "") for goal in goals}
    if "event:goal" in query["dimensions"]:
        return currencies[key[query["dimensions"].index("event:goal")]]
    named = [name for each in query["filters"] if each[1] == "event:goal" for name in each[2]]
    found = {currencies[name] for name in named} - {""}
    return found.pop() if len(found) == 1 else ""


def revenue(name: str, rows: list[tuple[Row, Visit]]) -> float:
    paid = [float(row["revenue"]) for row, _ in rows if row["revenue"] is not None]
    return sum(paid) if name == "total_revenue" else sum(paid) / len(paid) if paid else 0


SESSION = {"views_per_visit", "bounce_rate", "visit_duration"}


def metric(name: str, counted: dict[str, Any], whole: set[int], without_goal: set[int], by_event: bool) -> Any:
    rows, visits = counted["rows"], counted["visits"]
    visitors = {row["visitor"] for row, _ in rows} - {0}
    if name == "visitors":
        return len(visitors)
    if name == "pageviews":
        return sum(row["name"] == "pageview" for row, _ in rows)
    if name == "events":
        return sum(row["name"] != "engagement" for row, _ in rows)
    if name == "visits":
        return len({id(visit) for row, visit in rows if row["visitor"]}) if by_event else len(visits)
    if name == "views_per_visit":
        return sum(len(visit.views) for visit in visits) / len(visits) if visits else 0
    if name == "bounce_rate":
        bounced = [visit for visit in visits if len(visit.views) <= 1 and not visit.events]
        return 100 * len(bounced) / len(visits) if visits else 0
    if name == "visit_duration":
        spans = [(visit.rows[-1]["at"] - visit.rows[0]["at"]).total_seconds() for visit in visits]
        return sum(spans) / len(spans) if spans else 0
    if name == "percentage":
        return 100 * len(visitors) / len(whole) if whole else 0
    if name in ("conversion_rate", "group_conversion_rate"):
        return 100 * len(visitors) / len(without_goal) if without_goal else 0
    pages: dict[Any, list[Row]] = defaultdict(list)
    for row, visit in rows:
        pages[(id(visit) if visit.visitor else visit.rows[0]["at"]), row["path"]].append(row)
    if name == "scroll_depth":
        depths = [depth for depth in (max(row["scroll"] for row in own) for own in pages.values()) if depth]
        return sum(depths) / len(depths) if depths else None
    if name == "time_on_page":
        spent = [span for span in (sum(row["engagement_ms"] for row in own) for own in pages.values()) if span]
        return sum(spent) / len(spent) / 1000 if spent else None
    raise KeyError(name)
