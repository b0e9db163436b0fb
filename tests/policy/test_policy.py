"""privacy.toml: what loads, what is refused, and in which words."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware.policy import MAX_POLICY_BYTES, PolicyError, PrivacyPolicy
from consent_middleware.policy_checks import lifetime_seconds
from consent_middleware.policy_schema import SCHEMA_FILE, schema
from consent_middleware.transfers import ADEQUATE, EEA, refuse_transfer

BASE = """
revision = 4
updated = 2026-11-20
[controller]
name = "The Group"
"""
FULL = (
    BASE
    + """
address = "1 Street"
contact = "privacy@example.org"
registration = "Z1"
supervisory_authority = "ICO"
[site]
hosts = ["example.org", "www.example.org:8443"]
languages = ["en", "cy"]
trusted_proxies = ["10.0.0.0/8"]
country_header = "cf-ipcountry"
prefix = "/_consent"
insert = true
cache = "friendly"
csp = "report"
[consent]
lifetime_days = 182
regimes = { US = "opt-out", GB = "uk-statistics", default = "opt-in" }
honour_dnt = false
[[purpose]]
id = "necessary"
title = "Necessary"
description = { en = "The site needs it.", cy = "Mae ei angen." }
required = true
lawful_basis = "Legitimate interest"
[[purpose]]
id = "analytics"
title = { en = "Statistics" }
lawful_basis = "consent"
lifetime_days = 100
google_signals = ["analytics_storage"]
[[cookie]]
name = "sessionid"
purpose = "necessary"
provider = "us"
description = "keeps you signed in"
lifetime = "session"
kind = "http"
[[cookie]]
name = "_ga*"
purpose = "analytics"
lifetime = "13 months"
domain = "example.org"
path = "/"
[[vendor]]
name = "Stats Ltd"
purpose = "analytics"
hosts = ["stats.example.net"]
role = "processor"
country = "US"
safeguard = "SCC"
[[data]]
purpose = "Answering enquiries"
lawful_basis = "legal obligation"
retention = "two years"
[capture]
without_consent = "daily-key"
plausible = true
[retention]
raw_days = 35
cells_months = 25
consent_record_years = 7
[anonymity]
epsilon = 1.0
delta = 1e-6
seal_after_hours = 48
minimum_cell = 5
tier = "standard"
shares = { day = 0.5, week = 0.25, month = 0.25 }
cubes = ["total", "path", { name = "device-country", keys = ["device", "country"] }]
[[recipient]]
name = "Search engine"
role = "third-party"
country = "US"
safeguard = "DPF"
cubes = ["total"]
format = "csv"
where = "out"
schedule = "weekly"
"""
)


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        PrivacyPolicy.parse(BASE + text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("privacy.toml: ")
    return message.removeprefix("privacy.toml: ")


def test_the_whole_outline_loads() -> None:
    policy = PrivacyPolicy.parse(FULL)
    assert policy.updated == dt.date(2026, 11, 20)
    assert policy.required_purposes == {"necessary"}
    assert policy.optional_purposes == {"analytics"}
    assert policy.purpose("necessary").basis == "legitimate-interests"
    assert policy.data[0].lawful_basis == "legal-obligation"
    assert policy.site.site_id == "example.org"
    assert policy.warnings == ('purpose "analytics" (1): no description; visitors can\'t know what they agree to',)


def test_own_words_that_no_page_uses_are_a_warning() -> None:
    text = '[site.texts.en]\n"Accept everything" = "Yes"\n"Accept all" = "Yes"\n[site.texts.fr]\n"%(n)s day" = "j"'
    warned = [line for line in PrivacyPolicy.parse(BASE + text).warnings if line.startswith("site.texts")]
    assert warned == [
        'site.texts.en."Accept everything": no page has this sentence',
        "site.texts.fr: not one of site.languages, so nobody reads it",
    ]


def test_a_file_without_a_required_purpose_gets_the_necessary_one() -> None:
    assert PrivacyPolicy.parse(BASE).required_purposes == {"necessary"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sight]\nx = 1", r"^sight: unknown key \(did you mean \"site\"\?\)"),
        ("[site]\nhostz = []", r"^site\.hostz: unknown key \(did you mean \"hosts\"\?\)"),
        ("[site]\nab_test = true", r"^site\.ab_test: unknown key; the buttons of the banner are equal, for everybody"),
        ('[[variant]]\nbanner = "corner"', r"^variant: unknown key; the buttons .* tested against another"),
        ('[site]\nreject_style = "link"', r"^site\.reject_style: unknown key; the buttons of the banner are equal"),
        ('[site]\nbanner = ["bottom", "centre"]', r"^site\.banner: expected `str`"),
        ('[site.texts.en]\n"Reject all" = " "', r'^site\.texts\.en\."Reject all": empty'),
        ('[site.texts.en]\n"Write to: %(contact)s" = "Write!"', r"lacks the placeholder %\(contact\)s"),
        ('[site.texts.en]\n"Accept all" = "%(all)s"', r"has a placeholder %\(all\)s"),
        ('[site.texts.en]\n"Write to: %(contact)s" = "100 % %(contact)s"', r"has a % that belongs to no placeholder"),
        (
            '[[purpose]]\nid = "analytics"\n[[cookie]]\nname = "a"\npurpose = "analytcs"',
            r'^cookie\[0\]\.purpose: "analytcs" is not a purpose \(did you mean "analytics"\?\)',
        ),
        (
            '[[cookie]]\nname = "a"\npurpose = "necessary"\n' * 2,
            r'^cookie\[1\]\.name: "a" is declared twice \(first in cookie\[0\]\)',
        ),
        ('[[cookie]]\nname = "a"\npurpose = "necessary"\nliftime = "x"', r'^cookie\[0\]\.liftime: .*"lifetime"'),
        ('[[cookie]]\nname = "a"\npurpose = "necessary"\nlifetime = "x"', r"^cookie\[0\]\.lifetime: .*not a lifetime"),
        ('[[cookie]]\nname = "a b"\npurpose = "necessary"', r"^cookie\[0\]\.name: .*character"),
        ('[[cookie]]\nname = "__Host-consent"\npurpose = "necessary"', r"^cookie\[0\]\.name: .*own cookie"),
        ('[[cookie]]\npurpose = "necessary"', r"^cookie\[0\]\.name: missing"),
        ('[[recipient]]\nname = "A"\ncountry = "US"', r'^recipient\[0\] "A": "US" is outside the EEA and the UK'),
        ('[[recipient]]\nname = "A"\ncountry = "IN"\nsafeguard = "adequacy"', r"^recipient\[0\].*no adequacy decision"),
        ('[[recipient]]\nname = "A"\ncountry = "Usa"', r"^recipient\[0\]\.country: "),
        (
            '[[vendor]]\nname = "V"\npurpose = "necessary"\nhosts = ["v.example"]\ncountry = "US"',
            r'^vendor\[0\] "V": "US" is outside',
        ),
        (
            '[[vendor]]\nname = "V"\npurpose = "necessary"\nhosts = ["https://v.example/"]',
            r"^vendor\[0\]\.hosts\[0\]: ",
        ),
        ('[site]\ncsp = "enforced"', r'^site\.csp: "enforced" is not known \(did you mean "enforce"\?\)'),
        ('[site]\nprefix = "consent/"', r"^site\.prefix: "),
        ('[site]\ntrusted_proxies = ["cdn"]', r"^site\.trusted_proxies\[0\]: "),
        ('[site]\ncountry_header = "cf-ipcountry"', r"^site\.country_header: nobody is trusted"),
        ('[consent]\nregimes = { US = "optout" }', r'^consent\.regimes\[\.\.\.\]: "optout" is not known'),
        ("[retention]\nraw_days = 32", r"^retention\.raw_days: 32 is shorter .* set at least 33"),
        ('[[purpose]]\nid = "a"\nlawful_basis = "contract"', r"^purpose\[0\]\.lawful_basis: .*rests on"),
        ('[[purpose]]\nid = "a"\nrequired = true\nlawful_basis = "consent"', r"^purpose\[0\]\.lawful_basis: .*refuse"),
        ('[[purpose]]\nid = "a"\n[[purpose]]\nid = "a"', r'^purpose\[1\]\.id: "a" is declared twice'),
        ('[capture]\nwithout_consent = "daily-key"', r"^capture\.without_consent: .*regime"),
        ("[anonymity]\nshares = { day = 0.9, week = 0.2 }", r"^anonymity\.shares: .*add up to 1\.1"),
        (
            '[[recipient]]\nname = "R"\ncubes = ["total", "countri"]',
            r'^recipient\[0\]\.cubes\[1\]: "countri" is not a cube \(did you mean "country"\?\)',
        ),
        (
            '[anonymity]\ncubes = ["path"]\n[[recipient]]\nname = "R"\ncubes = ["total", "country"]',
            r'^recipient\[0\]\.cubes\[1\]: "country" is not sealed: add it to anonymity.cubes \(sealed',
        ),
        (
            '[anonymity]\ntier = "small"\n[[recipient]]\nname = "R"\ncubes = ["zzz"]',
            r'^recipient\[0\]\.cubes\[0\]: "zzz" is not a cube \(sealed are: total, channel, country, device',
        ),
        (
            '[anonymity]\ncubes = ["total", "pathh"]',
            r'^anonymity\.cubes\[1\]: "pathh" is not a cube \(did you mean "path"\?\)',
        ),
        ('[anonymity]\ncubes = ["zzz"]', r'^anonymity\.cubes\[0\]: "zzz" is not a cube \(known: total, path, '),
        (
            '[anonymity]\ncubes = [{ name = "x", keys = ["contry"] }]',
            r'^anonymity\.cubes\[0\]\.keys: "contry" is not a key \(did you mean "country"\?\)',
        ),
        (
            '[anonymity]\ncubes = [{ name = "x", keys = ["country"], metrics = ["visitorz"] }]',
            r'^anonymity\.cubes\[0\]\.metrics: "visitorz" is not a metric \(did you mean "visitors"\?\)',
        ),
        (
            "[anonymity.shares]\ndya = 0.5",
            r'^anonymity\.shares\.dya: "dya" is not a period or .*\(did you mean "day"\?\)',
        ),
        ('[anonymity]\ncubes = [{ name = "x", kees = ["a"] }]', r'^anonymity\.cubes\[0\]\.kees: .*"keys"'),
        ("= 3", r"^not valid TOML: .*line"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_the_way_out(text: str, expected: str) -> None:
    message = refusal("\n" + text)
    assert re.search(expected, message), message


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"no such file .*consent init"):
        PrivacyPolicy.load(tmp_path / "privacy.toml")


def test_a_file_that_is_not_utf8_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "privacy.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(PolicyError, match="byte 8 is not UTF-8"):
        PrivacyPolicy.load(path)
    path.write_bytes(b"#" * (MAX_POLICY_BYTES + 1))
    with pytest.raises(PolicyError, match="at most"):
        PrivacyPolicy.load(path)


@pytest.mark.parametrize(
    ("before", "after", "asks_again"),
    [
        ('description = "keeps you signed in"', 'description = "keeps you signed in."', False),
        ('title = "Necessary"', 'title = "Needed"', False),
        ("updated = 2026-11-20", "updated = 2026-11-21", False),
        ("revision = 4", "revision = 5", True),
        ('name = "_ga*"', 'name = "_gid"', True),
        ('lifetime = "13 months"', 'lifetime = "1 month"', True),
        ('hosts = ["stats.example.net"]', 'hosts = ["stats2.example.net"]', True),
        ("lifetime_days = 100", "lifetime_days = 300", True),
        ('id = "analytics"\n', 'id = "analytics"\nrequired = false\n', False),
    ],
)
def test_the_fingerprint_follows_meaning_and_not_typos(before: str, after: str, asks_again: bool) -> None:
    assert before in FULL
    old, new = PrivacyPolicy.parse(FULL), PrivacyPolicy.parse(FULL.replace(before, after, 1))
    assert (old.fingerprint != new.fingerprint) is asks_again


def test_an_unknown_country_gets_the_strictest_regime() -> None:
    policy = PrivacyPolicy.parse(FULL)
    assert policy.regime_of("") == "opt-in"
    assert policy.regime_of("US") == "opt-out"
    assert policy.regime_of("US-CA") == "opt-out"
    assert policy.regime_of("DE") == "opt-in"


def test_the_shipped_schema_is_the_one_of_the_structs() -> None:
    assert SCHEMA_FILE.read_bytes() == schema(), "run `python -m consent_middleware.policy_schema`"


def test_the_schema_accepts_what_loads_and_refuses_an_unknown_key() -> None:
    import jsonschema

    document = msgspec.json.decode(SCHEMA_FILE.read_bytes())
    instance = msgspec.to_builtins(
        tomllib.loads(FULL.replace("Legitimate interest", "legitimate-interests").replace("legal obl", "legal-obl"))
    )
    jsonschema.validate(instance, document)
    instance["site"]["hostz"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(instance, document)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_either_loads_or_is_refused_in_one_line(text: str) -> None:
    message = ""
    try:
        PrivacyPolicy.parse(text)
    except PolicyError as error:
        message = str(error)
    assert "\n" not in message


def test_a_key_with_a_line_feed_and_a_deep_nest_are_refused_in_one_line() -> None:
    assert refusal('"a\\nb" = 1') == "controller.a b: unknown key"
    assert "nested too deeply" in refusal("x = " + "[" * 5000)


@settings(deadline=None)
@given(st.integers(1, 500), st.sampled_from(["days", "d", "day", " months", "y", " min"]))
def test_lifetimes_grow_with_their_number(number: int, unit: str) -> None:
    one, more = lifetime_seconds(f"{number}{unit}"), lifetime_seconds(f"{number + 1}{unit}")
    assert one is not None
    assert more is not None
    assert 0 < one < more


def test_lifetimes_in_words_days_and_iso_8601_agree() -> None:
    assert lifetime_seconds("session") is None
    assert lifetime_seconds("13 months") == lifetime_seconds("P13M") == 13 * 2629800
    assert lifetime_seconds(2) == lifetime_seconds("2 days") == lifetime_seconds("P2D") == 172800
    assert lifetime_seconds("PT30M") == lifetime_seconds("30 minutes") == 1800
    with pytest.raises(ValueError, match="not a lifetime"):
        lifetime_seconds("P")


def test_the_eea_has_thirty_countries_and_none_needs_a_safeguard() -> None:
    assert len(EEA) == 30
    assert all(refuse_transfer(country, "") is None for country in EEA | {"GB", ""})
    assert not ADEQUATE & EEA


def test_a_schedule_that_leads_nowhere_is_told() -> None:
    text = BASE + '\n[[recipient]]\nname = "A"\ncountry = "GB"\nschedule = "daily"\n'
    assert any(line.startswith('recipient[0] "A": a schedule') for line in PrivacyPolicy.parse(text).warnings)
    assert not any("a schedule" in line for line in PrivacyPolicy.parse(text + 'where = "out"\n').warnings)
