"""The officer's records say what the policy file says, and list what it leaves open."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from click.testing import CliRunner

from analytics.retention import clocks
from consent_middleware.cli import consent
from consent_middleware.pages.document import Facts, markdown
from consent_middleware.records import RECORDS, transfers
from consent_middleware.records.common import activities, gaps_of
from tests.pages.sites import POLICY, TEXT, law_group


def printed(which: str, *more: str) -> str:
    result = CliRunner().invoke(consent, ["records", which, "--policy", str(POLICY), *more])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("which", RECORDS)
@pytest.mark.parametrize("format_", ["md", "json", "html"])
def test_each_record_comes_in_each_form(which: str, format_: str) -> None:
    text = printed(which, "--format", format_)
    assert "Larkfield Law Group" in text
    if format_ == "json":
        assert json.loads(text)["revision"] == 4
    if format_ == "html":
        assert text.startswith("<!doctype html>")
        assert "<table" in text or "<dl" in text


def test_article_30_names_every_activity_with_its_seven_points() -> None:
    document = RECORDS["article-30"](law_group())
    found = {part.title: part for part in document.parts if part.anchor.startswith("activity-")}
    assert set(found) == {activity.name for activity in activities(law_group())}
    assert {"Membership", "Statistics of visits", "Proof of consent", "Requests about rights"} <= set(found)
    for part in found.values():
        (facts,) = (block for block in part.blocks if isinstance(block, Facts))
        labels = [label for label, _ in facts.pairs]
        for point in (
            "(b) Purpose",
            "Legal basis",
            "(c) People",
            "(c) Data",
            "(d) Recipients",
            "(e) Transfers",
            "(f) Erased",
        ):
            assert any(label.startswith(point) for label in labels), (part.title, point)
    assert gaps_of(document) == [], "the example says all that the article asks"


def test_the_proof_is_said_to_be_kept_as_long_as_it_is() -> None:
    """The same in the officer's record, in the published policy and in the clock that ends it."""
    policy = law_group()
    clock = next(clock for clock in clocks(policy) if clock.what == "records of consent")
    assert clock.keeps == "7 years after the consent's 182 days"
    told = "Erased after: 7 years after the choice has run out, which it does after 182 days"
    assert told in printed("article-30")


def test_a_change_of_the_file_changes_the_records() -> None:
    text = TEXT.replace("raw_days = 35", "raw_days = 40").replace("epsilon = 1.0", "epsilon = 0.5")
    before, after = law_group(), law_group(text)
    assert "35 days" in markdown(RECORDS["article-30"](before))
    assert "40 days" in markdown(RECORDS["article-30"](after))
    assert "epsilon 0.5" in markdown(RECORDS["dpia"](after))


@pytest.mark.parametrize("which", RECORDS)
def test_no_title_is_empty(which: str) -> None:
    assert "****" not in printed(which)
    assert "<caption></caption>" not in printed(which, "--format", "html")


def test_what_the_file_does_not_say_is_listed_and_not_guessed() -> None:
    text = TEXT.replace('people = ["readers"]\n', "").replace('retention = "until you stop it"\n', "")
    gaps = gaps_of(RECORDS["article-30"](law_group(text)))
    assert any("people (Newsletter)" in gap for gap in gaps)
    assert any("retention (Newsletter)" in gap for gap in gaps)


def test_every_legitimate_interest_is_balanced_by_a_person() -> None:
    document = RECORDS["lia"](law_group())
    assert "Enquiries" in {part.title for part in document.parts}
    assert "Membership" not in {part.title for part in document.parts}
    assert sum("a person judges" in gap for gap in gaps_of(document)) == 2


def test_transfers_name_the_protection_and_what_has_ended() -> None:
    text = TEXT.replace(
        'name = "Plain Numbers Ltd"\nrole = "processor"\ncountry = "IE"',
        'name = "Plain Numbers Ltd"\nrole = "processor"\ncountry = "IN"\nsafeguard = "scc"\n'
        "safeguard_until = 2026-01-31",
    )
    document = transfers(law_group(text), dt.date(2026, 11, 20))
    shown = markdown(document)
    assert "standard contractual clauses" in shown
    assert "inside the EEA and the UK" in shown
    assert 'recipient "Plain Numbers Ltd": its safeguard ended on 2026-01-31' in gaps_of(document)
    assert any("Ashby Mediation" in gap for gap in gaps_of(document))
