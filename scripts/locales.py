"""Keeps `consent_middleware/pages/locales/` in step with the source: `python scripts/locales.py [LANGUAGE ...]`.

Writes the template (`consent.pot`), brings every `.po` that exists up to date (new sentences empty, gone ones removed),
begins one for each LANGUAGE that is named, and makes `dates.json` and `countries/` from CLDR. Babel is needed here
and nowhere at run time.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from babel import Locale
from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po, write_po

from consent_middleware.pages.catalogue import DOMAIN, LOCALES, catalogue_path
from consent_middleware.pages.languages import NAMES
from consent_middleware.pages.words import country_file

PAGES = LOCALES.parent
# `self` is what Words calls itself.
KEYWORDS = {"t": None, "self": None, "several": (1, 2)}
NO_COUNTRIES = frozenset(("EU", "EZ", "UN", "XA", "XB", "QO", "ZZ"))  # unions, test locales, "unknown"
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext.babel_extract")]
# No time stamp, no author: the same sentences give the same file.
HEADERS = [
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Transfer-Encoding", "8bit"),
]


def template() -> Catalog:
    """Every sentence of the source, without line numbers: they would change with each edit."""
    catalogue = Catalog(domain=DOMAIN, charset="utf-8", header_comment="#", fuzzy=False)
    for path, _, message, _, _ in extract_from_dir(PAGES, METHODS, keywords=KEYWORDS):
        catalogue.add(message, locations=[(Path(path).name, None)])
    return catalogue


def write(catalogue: Catalog, path: Path, headers: Sequence[tuple[str, str]] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=0, sort_output=True, omit_header=True, include_lineno=False)
    lines = "".join(f'"{name}: {value}\\n"\n' for name, value in (*headers, *HEADERS))
    path.write_bytes(f'msgid ""\nmsgstr ""\n{lines}\n'.encode() + buffer.getvalue())


def update(language: str, source: Catalog) -> int:
    """Bring one language up to date; returns how many sentences it still lacks."""
    path = catalogue_path(language)
    old = read_po(io.BytesIO(path.read_bytes()), locale=language) if path.is_file() else Catalog()
    new = Catalog(locale=language, domain=DOMAIN, charset="utf-8", header_comment="#", fuzzy=False)
    missing = 0
    for message in source:
        if not message.id:
            continue
        kept = old.get(message.id)
        string = kept.string if kept else ""
        new.add(message.id, string, locations=message.locations)
        missing += not (all(string) if isinstance(string, tuple) else string)
    write(new, path, [("Language", language), ("Plural-Forms", get_plural(language).plural_forms)])
    return missing


def dates() -> dict[str, list[str]]:
    """How each language writes a date out: one pattern for each month, with {d} and {y}."""
    patterns = {}
    for language in NAMES:
        locale = "en_GB" if language == "en" else language
        months = [format_date(dt.date(2098, month, 27), "long", locale=locale) for month in range(1, 13)]
        patterns[language] = [text.replace("2098", "{y}").replace("27", "{d}") for text in months]
    return patterns


def countries(language: str) -> dict[str, str]:
    """Code -> name of every country, as this language calls it; in English where CLDR has no name."""
    english, own = Locale("en").territories, Locale.parse(language).territories
    codes = sorted(code for code in english if len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES)
    return {code: str(own.get(code, english[code])) for code in codes}


def main(begin: list[str]) -> None:
    if unknown := set(begin) - set(NAMES):
        raise SystemExit(f"not in languages.py: {', '.join(sorted(unknown))}")
    source = template()
    write(source, LOCALES / f"{DOMAIN}.pot")
    (LOCALES / "dates.json").write_text(json.dumps(dates(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for language in NAMES:
        names = json.dumps(countries(language), ensure_ascii=False, indent=0)
        country_file(language).write_text(names + "\n", encoding="utf-8")
        known = catalogue_path(language).is_file() or language in begin
        if language != "en" and known and (missing := update(language, source)):
            print(f"{language}: {missing} sentences to translate")


if __name__ == "__main__":
    main(sys.argv[1:])
