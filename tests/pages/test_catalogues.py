"""Every sentence, in every catalogue: there, translated, its placeholders and plurals whole."""

from __future__ import annotations

import datetime as dt
import gettext
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po as babel_read_po

from consent_middleware.pages.catalogue import (
    DOMAIN,
    LOCALES,
    BadCatalogue,
    catalogue_path,
    machine_object,
    read_po,
)
from consent_middleware.pages.languages import NAMES, direction, pick_language
from consent_middleware.pages.words import Words, country_file
from tests.pages.sites import TEXT, law_group

ROOT = Path(__file__).resolve().parents[2]
TRANSLATED = sorted(code for code in NAMES if catalogue_path(code).is_file())
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
# Sentences that some language writes like English: a name of ours or of a law, or one word that both languages share.
SAME_AS_ENGLISH_WORDS = 3


def template() -> Catalog:
    return babel_read_po(io.BytesIO((LOCALES / f"{DOMAIN}.pot").read_bytes()))


SENTENCES = [message for message in template() if message.id]


def problems(catalogue: Catalog, language: str) -> list[str]:
    """Everything that is wrong with one catalogue, a line each."""
    found = []
    ids = {message.id for message in SENTENCES}
    found += [f"no such sentence: {message.id!r}" for message in catalogue if message.id and message.id not in ids]
    forms = get_plural(language).num_plurals
    if catalogue.num_plurals != forms:
        found.append(f"{catalogue.num_plurals} plural forms, {language} has {forms}")
    for sentence in SENTENCES:
        message = catalogue.get(sentence.id)
        english = sentence.id if isinstance(sentence.id, tuple) else (sentence.id,)
        if message is None:
            found.append(f"missing: {english[0]!r}")
            continue
        given = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.fuzzy:
            found.append(f"fuzzy: {english[0]!r}")
        if len(given) != (forms if sentence.pluralizable else 1):
            found.append(f"{len(given)} forms instead of {forms}: {english[0]!r}")
        for text in given:
            if not text:
                found.append(f"untranslated: {english[0]!r}")
                continue
            wanted = set(PLACEHOLDER.findall(english[-1]))
            # A form for one or two may say the number in words.
            optional = {"n"} if sentence.pluralizable else set()
            held = set(PLACEHOLDER.findall(text))
            if not wanted - optional <= held <= wanted:
                found.append(f"placeholders {sorted(held)} instead of {sorted(wanted)}: {text!r}")
            if "%" in PLACEHOLDER.sub("", text).replace("%%", ""):
                found.append(f"a stray %: {text!r}")
            if text == english[-1] and len(text.split()) > SAME_AS_ENGLISH_WORDS:
                found.append(f"still English: {text!r}")
            if re.search(r"[<>{}\x00-\x1f]", text):
                found.append(f"markup or a control character: {text!r}")
    return found


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_is_whole(language: str) -> None:
    catalogue = babel_read_po(io.BytesIO(catalogue_path(language).read_bytes()), locale=language)
    assert problems(catalogue, language) == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_pages_read_a_catalogue_as_gettext_means_it(language: str) -> None:
    ours = Words(language, {})
    theirs = babel_read_po(io.BytesIO(catalogue_path(language).read_bytes()), locale=language)
    for sentence in SENTENCES:
        if not sentence.pluralizable:
            assert ours(sentence.id) == theirs.get(sentence.id).string
    form_of = gettext.c2py(get_plural(language).plural_expr)
    forms = theirs.get("%(n)s day").string
    for count in (*range(130), 1000, 1_000_000):
        assert ours.several("%(n)s day", "%(n)s days", count) == forms[form_of(count)] % {"n": count}


def test_every_language_has_a_catalogue() -> None:
    """A folder that no language names would be dead weight; a language without one would be read in English."""
    folders = {path.name for path in LOCALES.iterdir() if path.is_dir()}
    assert folders == set(NAMES) - {"en"} == set(TRANSLATED)


def test_every_language_names_every_country() -> None:
    named = {language: json.loads(country_file(language).read_text("utf-8")) for language in NAMES}
    assert len(named["en"]) > 200
    for language, countries in named.items():
        assert list(countries) == list(named["en"]), language
        assert all(countries.values()), language
    assert Words("fr", {}).country("DE") == "Allemagne"
    assert Words("en", {}).country("XX") == "XX"
    assert Words("en", {}).country("") == ""


def test_the_documentation_says_of_each_language_who_has_read_it() -> None:
    listed = re.findall(r"^\| [^|]+ \((\w+)\) \| (.+) \|$", (ROOT / "docs" / "languages.md").read_text(), re.MULTILINE)
    assert sorted(code for code, _ in listed) == sorted(NAMES)
    assert {read for code, read in listed if code != "en"} == {"not yet"}


def test_the_languages_are_those_that_were_promised() -> None:
    union = "bg cs da de el en es et fi fr ga hr hu it lt lv mt nl pl pt ro sk sl sv"
    others = {"cy", "nb", "is", "uk", "tr", "ar", "he", "ja", "zh"}
    assert " ".join(sorted(set(NAMES) - others)) == union
    assert others < set(NAMES)
    assert {code for code in NAMES if direction(code) == "rtl"} == {"ar", "he"}


def test_the_template_holds_every_sentence_of_the_source(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'scripts'); import locales; from pathlib import Path;"
        f"locales.write(locales.template(), Path({str(tmp_path / 'new.pot')!r}))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
    fresh = (tmp_path / "new.pot").read_text(encoding="utf-8")
    assert fresh == (LOCALES / f"{DOMAIN}.pot").read_text(encoding="utf-8"), "run python scripts/locales.py"


FAULTS = {
    "missing": lambda c: c.delete("Accept all"),
    "untranslated": lambda c: setattr(c["Accept all"], "string", ""),
    "placeholders": lambda c: setattr(c["Write to: %(contact)s"], "string", "Schreiben Sie an: %(kontakt)s"),
    "stray": lambda c: setattr(c["Accept all"], "string", "100 % annehmen"),
    "forms": lambda c: setattr(c["%(n)s day"], "string", ("%(n)s Tag", "%(n)s Tage", "%(n)s Tage")),
    "no such sentence": lambda c: c.add("Accept everything", "Alles annehmen"),
    "fuzzy": lambda c: c["Accept all"].flags.add("fuzzy"),
    "still English": lambda c: setattr(c["Your data is being prepared. This takes a few seconds."], "string",
                                       "Your data is being prepared. This takes a few seconds."),
    "markup": lambda c: setattr(c["Accept all"], "string", "<b>Alle</b>"),
}  # fmt: skip


def made_up(language: str) -> Catalog:
    """A catalogue that says every sentence in words of its own."""
    catalogue = Catalog(locale=language)
    for message in SENTENCES:
        if message.pluralizable:
            catalogue.add(message.id, tuple(f"x {message.id[1]}" for _ in range(catalogue.num_plurals)))
        else:
            catalogue.add(message.id, f"x {message.id}")
    return catalogue


@pytest.mark.parametrize("language", sorted(set(NAMES) - {"en"}))
def test_a_whole_catalogue_passes_these_rules_in_every_language(language: str) -> None:
    assert problems(made_up(language), language) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_rule_notices_its_fault(fault: str) -> None:
    catalogue = made_up("de")
    FAULTS[fault](catalogue)
    assert any(fault in line for line in problems(catalogue, "de"))


def test_a_catalogue_with_the_plurals_of_another_language_is_noticed() -> None:
    polish = made_up("de")
    assert any("plural forms" in line for line in problems(polish, "pl"))


def test_a_po_file_that_is_broken_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "consent.po"
    path.write_text('msgid "a"\nmsgstr "b\n', encoding="utf-8")
    with pytest.raises(BadCatalogue, match=r"consent\.po:2"):
        read_po(path)


def test_a_catalogue_becomes_what_gettext_reads(tmp_path: Path) -> None:
    path = tmp_path / "consent.po"
    path.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=n>1;\\n"\n\n'
        'msgid "a \\"b\\""\nmsgstr "é"\n"ü"\n\nmsgid "%(n)s day"\nmsgid_plural "%(n)s days"\n'
        'msgstr[0] "%(n)s jour"\nmsgstr[1] "%(n)s jours"\n\nmsgid "empty"\nmsgstr ""\n',
        encoding="utf-8",
    )
    read = gettext.GNUTranslations(io.BytesIO(machine_object(read_po(path))))
    assert read.gettext('a "b"') == "éü"
    assert [read.ngettext("%(n)s day", "%(n)s days", n) for n in (0, 1, 2)] == [
        "%(n)s jour",
        "%(n)s jour",
        "%(n)s jours",
    ]
    assert read.gettext("empty") == "empty"


@pytest.mark.parametrize("language", sorted(NAMES))
def test_every_language_writes_a_date_out(language: str) -> None:
    written = {Words(language, {}).date(dt.date(2026, month, 9)) for month in range(1, 13)}
    assert len(written) == 12
    assert all("2026" in text and "9" in text and "{" not in text for text in written)


@pytest.mark.parametrize(
    ("accepts", "page", "picked"),
    [
        (b"de-AT, en;q=0.5", None, "de"),
        (b"sv, fr;q=0.4, cy;q=0.7", None, "cy"),
        (b"sv", None, "en"),
        (b"de", "fr", "fr"),
        (b"de", "sv", "de"),
        (b"*", None, "en"),
        (b"de;q=0, fr", None, "fr"),
        (b"", None, "en"),
        (b"\xff;q=x,,;;", None, "en"),
        (b"ar-EG" + b",x" * 2000, None, "ar"),
        (None, None, "en"),
    ],
)
def test_the_language_is_the_pages_then_the_browsers_then_the_sites(
    accepts: bytes | None, page: str | None, picked: str
) -> None:
    assert pick_language(law_group(TEXT), accepts, page) == picked
