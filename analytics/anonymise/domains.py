"""Key domains that are known without looking at any visitor, so that their cells need no threshold. Pure data.

A value outside a domain is counted under `OTHER`; a missing one under `NONE`.
"""

from __future__ import annotations

import datetime as dt
import re

OTHER = "(other)"
NONE = "(none)"
SEPARATOR = " | "

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAY_HOURS = tuple(f"{day}-{hour:02d}" for day in WEEKDAYS for hour in range(24))

# Upper edges in seconds, exclusive; the last bucket is open.
VISIT_LENGTH_EDGES = (1, 10, 30, 60, 180, 600, 1800)
VISIT_LENGTHS = ("0s", "1-9s", "10-29s", "30-59s", "1-2m", "3-9m", "10-29m", "30m+")

DEVICES = ("desktop", "mobile", "tablet", "other", NONE, OTHER)
CHANNELS = (
    "Direct",
    "Organic Search",
    "Paid Search",
    "Organic Social",
    "Paid Social",
    "Paid Other",
    "Email",
    "AI Assistant",
    "Referral",
    NONE,
    OTHER,
)
BROWSERS = (
    "Chrome",
    "Safari",
    "Firefox",
    "Edge",
    "Opera",
    "Samsung Internet",
    "Brave",
    "Vivaldi",
    "DuckDuckGo",
    "Yandex Browser",
    "UC Browser",
    "Internet Explorer",
    "Android Browser",
    "Facebook",
    "Instagram",
    "Chrome Mobile",
    "Chrome Mobile iOS",
    "Chrome Mobile WebView",
    "Mobile Safari",
    "Mobile Safari UI/WKWebView",
    "Firefox Mobile",
    "Firefox iOS",
    "Edge Mobile",
    "Opera Mobile",
    NONE,
    OTHER,
)
SYSTEMS = (
    "Windows",
    "macOS",
    "Mac OS X",
    "Linux",
    "Ubuntu",
    "Fedora",
    "Debian",
    "Chrome OS",
    "Android",
    "iOS",
    "iPadOS",
    "FreeBSD",
    "HarmonyOS",
    "KaiOS",
    "Tizen",
    NONE,
    OTHER,
)
# ISO 3166-1 alpha-2.
COUNTRIES = (
    *re.findall(
        "..",
        "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCY"
        "CZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISIT"
        "JEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNI"
        "NLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTK"
        "TLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW",
    ),
    NONE,
    OTHER,
)
# ISO 639-1: the base language of Accept-Language.
LANGUAGES = (
    *re.findall(
        "..",
        "afamarazbebgbnbscacscydadeeleneoeseteufafifrgagdglguhehihrhuhyidisitjakakkkmknkokylbloltlvmkmlmnmrmsmtmynbnenlnn"
        "noorpaplpsptrorusiskslsosqsrsvswtatetgthtktltrukuruzvixhyozhzu",
    ),
    NONE,
    OTHER,
)


def hours_of(days: list[dt.date]) -> tuple[str, ...]:
    """The weekday-hours that can occur in `days`."""
    wanted = {WEEKDAYS[day.weekday()] for day in days}
    return tuple(key for key in WEEKDAY_HOURS if key[:3] in wanted)
