"""Is this user agent a program, and which kind: search, ai, monitor, tool.

The 1,504 tagged patterns of crawler-user-agents, tried by ua-parser's prefiltering engine: 5 us instead of 151.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import crawleruseragents
import ua_parser_rs

CATEGORIES: Final = ("search", "ai", "monitor", "tool")
# A crawler with several tags is what it does with the page: training comes before search, search before the rest.
_TAGS: Final = (("ai-crawler", "ai"), ("search-engine", "search"), ("monitoring", "monitor"))


@lru_cache(1)
def _patterns() -> tuple[Any, tuple[str, ...]]:
    data = crawleruseragents.CRAWLER_USER_AGENTS_DATA
    extractor = ua_parser_rs.UserAgentExtractor(
        [(entry["pattern"], str(number), None, None, None, None) for number, entry in enumerate(data)]
    )
    return extractor, tuple(_category(entry.get("tags", ())) for entry in data)


def _category(tags: list[str]) -> str:
    return next((name for tag, name in _TAGS if tag in tags), "tool")


def category(user_agent: str) -> str:
    """search | ai | monitor | tool, or empty for what may be a person. No browser sends an empty user agent."""
    if not user_agent.strip(" -"):
        return "tool"
    extractor, categories = _patterns()
    found = extractor.extract(user_agent)
    return categories[int(found.family)] if found is not None else ""
