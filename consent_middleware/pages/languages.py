"""Which language a visitor reads: the page's own, then the browser's wish, then the site's first; pure."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

# Code -> the language's name in itself, as a reader looks for it.
NAMES = {
    "en": "English",
    "cy": "Cymraeg",
    "bg": "Български",
    "cs": "Čeština",
    "da": "Dansk",
    "de": "Deutsch",
    "el": "Ελληνικά",
    "es": "Español",
    "et": "Eesti",
    "fi": "Suomi",
    "fr": "Français",
    "ga": "Gaeilge",
    "hr": "Hrvatski",
    "hu": "Magyar",
    "it": "Italiano",
    "lt": "Lietuvių",
    "lv": "Latviešu",
    "mt": "Malti",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt": "Português",
    "ro": "Română",
    "sk": "Slovenčina",
    "sl": "Slovenščina",
    "sv": "Svenska",
    "nb": "Norsk bokmål",
    "is": "Íslenska",
    "uk": "Українська",
    "tr": "Türkçe",
    "ar": "العربية",
    "he": "עברית",
    "ja": "日本語",
    "zh": "中文",
}
RIGHT_TO_LEFT = frozenset({"ar", "he"})
# What browsers send for a language that we keep under another code.
ALIASES = {"no": "nb", "nn": "nb", "iw": "he"}
MAX_ACCEPT_LANGUAGE = 500


def catalogue_code(language: str) -> str:
    """The catalogue that serves a language code: "pt-BR" is read from "pt", an unknown one from "en"."""
    base = language.replace("_", "-").partition("-")[0].lower()
    base = ALIASES.get(base, base)
    return base if base in NAMES else "en"


def direction(language: str) -> str:
    """`rtl` or `ltr`, as the `dir` attribute wants it."""
    return "rtl" if catalogue_code(language) in RIGHT_TO_LEFT else "ltr"


def pick_language(policy: PrivacyPolicy, accept_language: bytes | None, page_lang: str | None = None) -> str:
    """One of the site's languages: that of the page, else the best of `Accept-Language`, else the site's first."""
    if page_lang and (found := named_language(policy, page_lang)):
        return found
    offered = policy.site.languages
    if accept_language and len(offered) > 1:
        return _from_header(accept_language[:MAX_ACCEPT_LANGUAGE], offered) or offered[0]
    return offered[0]


def named_language(policy: PrivacyPolicy, name: str) -> str | None:
    """The site's language that a page or a link names; None when the site has no words in it."""
    return _match(name, policy.site.languages)


@functools.lru_cache(maxsize=1024)
def _from_header(header: bytes, offered: tuple[str, ...]) -> str | None:
    wishes: list[tuple[float, int, str]] = []
    for position, part in enumerate(header.decode("latin-1").split(",")):
        code, _, parameters = part.strip().partition(";")
        quality = 1.0
        if parameters.strip().startswith("q="):
            try:
                quality = float(parameters.strip()[2:])
            except ValueError:
                continue
        if code and quality > 0:
            wishes.append((-quality, position, code.strip()))
    for _, _, code in sorted(wishes):
        if code == "*":
            return offered[0]
        if found := _match(code, offered):
            return found
    return None


def _match(wish: str, offered: tuple[str, ...]) -> str | None:
    wish = wish.strip().replace("_", "-").lower()
    for language in offered:
        if language.lower() == wish:
            return language
    base = ALIASES.get(wish.partition("-")[0], wish.partition("-")[0])
    for language in offered:
        if language.partition("-")[0].lower() == base:
            return language
    return None
