"""How the banner was met, from the ledger's counters: shown, accepted, partly, refused, ignored; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from consent_middleware.ledger.ledger import Count

# The counter of choices by somebody who had chosen before: no banner stood on their page.
AGAIN = "again"


class BannerRate(Struct, frozen=True):
    """One day in one language, or a sum of such. `save` is a yes to some purposes and not to all."""

    day: str
    language: str
    shown: int
    accept: int
    save: int
    reject: int
    again: int  # of the choices: made by somebody who had chosen before

    @property
    def ignored(self) -> int:
        """Banners that nobody answered: those shown, less the first choices."""
        return max(self.shown - (self.chosen - self.again), 0)

    @property
    def chosen(self) -> int:
        return self.accept + self.save + self.reject

    @property
    def yes(self) -> float | None:
        """The share of choices with a yes to at least one purpose; None without choices."""
        return (self.accept + self.save) / self.chosen if self.chosen else None


class PurposeRate(Struct, frozen=True):
    """The answers about one purpose."""

    purpose: str
    yes: int
    no: int
    withdrawn: int


def _day_and_language(count: Count) -> tuple[str, str]:
    return count.day, count.language


def banner_rates(
    counts: Iterable[Count], group: Callable[[Count], tuple[str, str]] = _day_and_language
) -> list[BannerRate]:
    """One row for each group, in order; `group` gives day and language of the row that a counter goes to."""
    rows: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for count in counts:
        if count.what in {"shown", "accept", "save", "reject", AGAIN}:
            rows[group(count)][count.what] += count.n
    return [
        BannerRate(day, language, row["shown"], row["accept"], row["save"], row["reject"], row[AGAIN])
        for (day, language), row in sorted(rows.items())
    ]


def purpose_rates(counts: Iterable[Count]) -> list[PurposeRate]:
    """The answers about each purpose, over all days, languages and methods."""
    rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for count in counts:
        answer, _, rest = count.what.partition(" ")
        if answer in {"yes", "no", "withdrawn"}:
            rows[rest.partition(" ")[0]][answer] += count.n
    return [PurposeRate(purpose, row["yes"], row["no"], row["withdrawn"]) for purpose, row in sorted(rows.items())]
