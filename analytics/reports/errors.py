"""What can be wrong with a question: each error carries the path of the fault inside the query."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QueryError(ValueError):
    """A query that cannot be answered as it stands; `path` points into the JSON, as in `$.filters[0][1]`."""

    def __init__(self, path: str, reason: str, **details: object) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason, self.details = path, reason, details


class UnknownSite(Exception):
    """The site does not exist, or the token may not see it: the two look alike on purpose.

    `known`, the sites that there are, is for who may see all of them.
    """

    def __init__(self, site: str, known: Iterable[str] = ()) -> None:
        super().__init__(site)
        self.site, self.known = site, tuple(known)


class QueryTimeout(Exception):
    """The engine stopped the query: it took longer, or more memory, than one query may."""


class QueryRefused(QueryTimeout):
    """The engine is short of memory, or too many wait for it: the same question may be asked again in a while."""


class QueryStopped(Exception):
    """Whoever asked has gone: the engine's work for the question was ended, and there is no answer."""


def no_site(site: str, known: Iterable[str]) -> str:
    """What is said of a site that nobody knows."""
    return f'no site "{site}" (known: {", ".join(known) or "none"})'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`' (did you mean "visit:source"?)'`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
