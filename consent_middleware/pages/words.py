"""Words: every sentence of the pages in one language, with the site's own wording laid over the catalogue."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from consent_middleware.pages.catalogue import load_catalogue
from consent_middleware.pages.languages import catalogue_code, direction
from consent_middleware.pages.memory import remembered
from consent_middleware.policy_checks import SECONDS, lifetime_seconds

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

# One pattern per month and language, such as "{d} janvier {y}"; made from CLDR by scripts/locales.py.
COMMAS = {"ar": "، ", "ja": "、", "zh": "、"}
DATES = Path(__file__).parent / "locales" / "dates.json"
COUNTRIES = Path(__file__).parent / "countries"


class Words:
    """Called with an English sentence it gives the sentence of its language; values replace `%(name)s`."""

    def __init__(self, language: str, own: Mapping[str, str]) -> None:
        self.language = language
        self.direction = direction(language)
        self._catalogue = load_catalogue(catalogue_code(language))
        self._own = own

    def __call__(self, sentence: str, **values: object) -> str:
        text = self._own.get(sentence) or self._catalogue.gettext(sentence)
        if values and self.direction == "rtl":
            values = {name: _isolated(value) for name, value in values.items()}
        return text % values if values else text

    def listed(self, items: Iterable[str]) -> str:
        """Several names in a row, with this language's own comma."""
        return COMMAS.get(catalogue_code(self.language), ", ").join(items)

    def several(self, one: str, many: str, count: int) -> str:
        """The plural form that the language wants for `count`, which stands for `%(n)s`."""
        own = self._own.get(one if count == 1 else many)
        return (own or self._catalogue.ngettext(one, many, count)) % {"n": count}

    def date(self, day: dt.date) -> str:
        """A date as it is written out in this language."""
        return _patterns()[catalogue_code(self.language)][day.month - 1].format(d=day.day, y=day.year)

    def country(self, code: str) -> str:
        """A country's name in this language; the code itself where it is nobody's."""
        return _countries(catalogue_code(self.language)).get(code, code)

    def span(self, amount: int, unit: str) -> str:
        """ "13 months" in this language; `unit` is one of minute, hour, day, month, year."""
        match unit:
            case "minute":
                return self.several("%(n)s minute", "%(n)s minutes", amount)
            case "hour":
                return self.several("%(n)s hour", "%(n)s hours", amount)
            case "day":
                return self.several("%(n)s day", "%(n)s days", amount)
            case "month":
                return self.several("%(n)s month", "%(n)s months", amount)
            case _:
                return self.several("%(n)s year", "%(n)s years", amount)

    def lifetime(self, lifetime: str | int) -> str:
        """A cookie's lifetime as the policy file writes it, in the largest unit that measures it exactly."""
        seconds = lifetime_seconds(lifetime)
        if seconds is None:
            return self("until you close the browser")
        unit = next((unit for unit in ("year", "month", "day", "hour") if seconds % SECONDS[unit] == 0), "minute")
        return self.span(-(-seconds // SECONDS[unit]), unit)


def _isolated(value: object) -> object:
    """A name in Latin letters keeps its own order inside a sentence that runs the other way (UAX 9, FSI and PDI)."""
    # An address stays as it is: it reads the same either way, and becomes a link only without marks around it.
    if not isinstance(value, str) or not any("A" <= letter <= "z" for letter in value) or set(value) & set("@/{"):
        return value
    return f"\u2068{value}\u2069"


@functools.cache
def _patterns() -> dict[str, list[str]]:
    patterns: dict[str, list[str]] = json.loads(DATES.read_text(encoding="utf-8"))
    return patterns


def country_file(language: str) -> Path:
    """Code -> name of every country; made from CLDR by scripts/locales.py."""
    return COUNTRIES / f"{language}.json"


@functools.lru_cache(maxsize=4)  # 10 kB each: a site speaks a few languages, not all
def _countries(language: str) -> dict[str, str]:
    names: dict[str, str] = json.loads(country_file(language).read_text(encoding="utf-8"))
    return names


def words_for(policy: PrivacyPolicy, language: str) -> Words:
    """The words of a language for one site: its `[site.texts.<language>]` win over the catalogue."""

    def make() -> Words:
        texts = policy.site.texts
        return Words(language, {**texts.get(catalogue_code(language), {}), **texts.get(language, {})})

    return remembered(policy, ("words", language), make)
