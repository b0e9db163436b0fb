"""How the lines of visits and of their pages are read, whatever is asked of them."""

from __future__ import annotations

from analytics.reports.cellplan import SAME
from analytics.reports.holdings import Cover

# A group is known to have so many visitors without a set of them; more than the minimum of most cells.
SURE = 20
# Of the rows of a visit that lies across a midnight: those of each day, with what the visit as a whole says where both
# days are in the range, and with what its part says at the edges of the range, where the visit is cut.
ROW_PARTS = (
    "(part = 'inside' OR (part = 'before' AND day >= {first:Date} AND day < {last:Date}) "
    "OR (part = 'after' AND day > {first:Date} AND day <= {last:Date}) "
    "OR (part = 'head' AND day = {last:Date}) OR (part = 'tail' AND day = {first:Date}))"
)


def at_least(keyed: str) -> str:
    """How many visitors a group has, or that it has more than a few."""
    return f"uniqUpToIf({SURE})(number, {keyed})"


def at_most(keyed: str) -> str:
    """After the columns of a statement that tells `at_least`: how many it may have, and that no set is missing."""
    return f", if(with_key > {SURE}, countIf({keyed}), with_key), 0"


def lines_of(table: str, parts: str, condition: str) -> str:
    """The lines of a cover as `v`. Those of a day are all inside it, so only lines at midnights are asked for their
    part. A partition holds one build and is named after it, while a column has to be read."""

    def lines(builds: str) -> str:
        return f"SELECT * FROM {table}\nWHERE _partition_id IN {{{builds}:Array(String)}}\n  AND {condition}"

    return f"FROM\n(\n{lines('days')}\nUNION ALL\n{lines('midnights')}\n  AND {parts}\n) AS v"


def builds_of(cover: Cover) -> dict[str, object]:
    """Which builds `lines_of` reads, as texts that no row is searched for: a tuple says so to `limits.ask`."""
    return {"days": tuple(map(str, cover.days)), "midnights": tuple(map(str, cover.midnights))}


def column(dimension: str) -> str:
    """The column of a visit's dimension."""
    return SAME.get(dimension, dimension).removeprefix("visit:")
