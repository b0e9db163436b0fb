"""Reads the gettext catalogues in `locales/`: a `.po` file becomes translations at first use, without a build step."""

from __future__ import annotations

import ast
import functools
import gettext
import io
import struct
from pathlib import Path

LOCALES = Path(__file__).parent / "locales"
DOMAIN = "consent"


class BadCatalogue(ValueError):
    """A `.po` file that can't be read; the message names file and line."""


def catalogue_path(language: str) -> Path:
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


@functools.cache
def load_catalogue(language: str) -> gettext.NullTranslations:
    """Translations of one language code; English, whose sentences are the keys, is the empty catalogue."""
    path = catalogue_path(language)
    if language == "en" or not path.is_file():
        return gettext.NullTranslations()
    return gettext.GNUTranslations(io.BytesIO(machine_object(read_po(path))))


@functools.cache
def sentences() -> frozenset[str]:
    """Every English sentence that the pages can say, both forms of those that count something."""
    template = read_po(LOCALES / f"{DOMAIN}.pot", keep_empty=True)
    return frozenset(part for key in template for part in key.split("\0") if part)


def read_po(path: Path, *, keep_empty: bool = False) -> dict[str, str]:
    """`msgid` -> `msgstr` as gettext keeps them: the parts of a plural are joined by NUL. Raises BadCatalogue."""
    messages: dict[str, str] = {}
    entry: dict[str, str] = {}
    field = ""

    def close() -> None:
        if "msgid" not in entry:
            return
        key = entry["msgid"] + ("\0" + entry["msgid_plural"] if "msgid_plural" in entry else "")
        forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
        if any(forms) or keep_empty:
            messages[key] = "\0".join(forms)

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword == "msgid":
            close()
            entry = {}
        if keyword.startswith("msg"):
            field, quoted = keyword, rest
            entry[field] = ""
        else:
            quoted = line
        try:
            text = ast.literal_eval(quoted.strip())
            entry[field] += text
        except (ValueError, SyntaxError, KeyError, TypeError):
            raise BadCatalogue(f"{path}:{number}: not a quoted string: {line[:60]}") from None
    close()
    return messages


def machine_object(messages: dict[str, str]) -> bytes:
    """The binary form (`.mo`) that the standard library's gettext reads; keys sorted, as the format asks."""
    keys = sorted(key.encode() for key in messages)
    values = [messages[key.decode()].encode() for key in keys]
    count = len(keys)
    start = 28 + 16 * count
    tables: list[int] = []
    for texts in (keys, values):
        for text in texts:
            tables += [len(text), start]
            start += len(text) + 1
    header = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return header + struct.pack(f"<{4 * count}I", *tables) + b"".join(text + b"\0" for text in (*keys, *values))
