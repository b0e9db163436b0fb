"""Questions about the ways through a site - funnels, journeys and cohorts - as they are asked over the API."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from analytics.reports import query as language
from analytics.reports.errors import QueryError
from analytics.reports.query import DateRange, Filter, SiteName
from analytics.reports.saved import Name

Filters = Annotated[tuple[Filter, ...], Meta(max_length=100)]
DEFAULT_RANGE = "30d"


class FunnelQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many visitors reached each of these goals after the one before, within a visit."""

    site_id: SiteName
    steps: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=8, description="Goals by name, in their order")]
    date_range: DateRange = DEFAULT_RANGE
    filters: Filters = ()


class JourneyQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pages are seen right before and right after one."""

    site_id: SiteName
    page: Annotated[str, Meta(min_length=1, max_length=2000, description="The path of a page")]
    date_range: DateRange = DEFAULT_RANGE
    filters: Filters = ()


class CohortsQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the visitors of each week came back in the weeks after."""

    site_id: SiteName
    date_range: DateRange = DEFAULT_RANGE
    filters: Filters = ()


Question: TypeAlias = FunnelQuestion | JourneyQuestion | CohortsQuestion
QUESTIONS: dict[str, type[Question]] = {
    "funnel": FunnelQuestion,
    "journey": JourneyQuestion,
    "cohorts": CohortsQuestion,
}


def parse(what: str, body: bytes) -> Question:
    """A question of this kind from JSON bytes. Raises QueryError, which names the path of the first fault."""
    type_ = QUESTIONS[what]
    try:
        question = msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        refused = language.refusal(error, body, type_.__struct_fields__)
        if refused.path == "$.steps":
            raise QueryError(refused.path, "two to eight goals by name, in their order") from None
        raise refused from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise QueryError("$", f"not a JSON object: {error}") from None
    language.check_filters(question.filters)
    if isinstance(question, JourneyQuestion) and "\x00" in question.page:
        raise QueryError("$.page", "a path cannot hold a NUL")
    return question
