"""A copy says why each kind of data is kept, for how long, who gets it and what else a person may ask (Art. 15(1))."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.records import article_30
from consent_middleware.rights.answering import Holding, package
from consent_middleware.rights.request import Request
from tests.pages.sites import law_group

README = Path(__file__).parents[2] / "README.md"


def small_site(tmp_path: Path, more: str = "") -> PrivacyPolicy:
    """The policy file that README gives to grow from: no [[data]], no word on retention."""
    text = re.search(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert text
    (tmp_path / "privacy.toml").write_text(text[1] + more, encoding="utf-8")
    return PrivacyPolicy.load(tmp_path / "privacy.toml")


def copy_of(policy: PrivacyPolicy, *places: str) -> tuple[dict[str, Any], str]:
    """The explanation of a copy's data.json by place, and the text of its read-me."""
    request = Request(number=3, right="access", subject="record:x", identity="cookie", events=())
    made = package(policy, request, [Holding(place, [{"a": 1}]) for place in places], places)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        page = html.unescape(archive.read("read-me.html").decode())
        explanation = json.loads(archive.read("data.json"))["explanation"]
    return explanation, page


def test_a_copy_of_a_small_site_says_all_that_article_15_asks_for(tmp_path: Path) -> None:
    policy = small_site(tmp_path)
    told, page = copy_of(policy, "consents", "visits")
    kinds = {kind["place"]: kind for kind in told["kinds"]}
    assert [kind["place"] for kind in told["kinds"]][:3] == ["consents", "visits", "requests"]
    visits, consents = kinds["visits"], kinds["consents"]
    assert visits["kept"].startswith("35 days")
    assert visits["lawful_basis"] == "consent, Art. 6(1)(a)"
    assert consents["kept"] == "7 years after the choice has run out, which it does after 182 days"
    for place in ("consents", "visits", "requests"):
        for key in ("purpose", "lawful_basis", "data", "kept", "recipients", "source"):
            assert kinds[place][key], (place, key)
        for value in (kinds[place]["purpose"], kinds[place]["lawful_basis"], kinds[place]["kept"]):
            assert value in page, (place, value)
    assert visits["recipients"] == [
        "none; statistics that are released are anonymous totals, which are no personal data"
    ]
    assert told["complaint"] == "Information Commissioner's Office"
    assert told["contact"] == "privacy@example.org"
    for words in ("erasure", "restriction", "objection", "Commissioner", "<h3>Statistics of visits (visits)</h3>"):
        assert words in page


def test_the_clocks_of_the_file_stand_in_the_copy_and_in_the_record_alike(tmp_path: Path) -> None:
    policy = small_site(tmp_path, "\n[retention]\nraw_days = 40\nconsent_record_years = 4\n")
    told, page = copy_of(policy, "consents", "visits")
    record = msgspec.json.encode(article_30(policy)).decode()
    for kind in told["kinds"]:
        assert kind["kept"] in page
        assert kind["kept"] in record
    assert "40 days" in page
    assert "4 years" in page


def test_a_table_of_the_site_is_explained_by_the_data_that_names_its_provider() -> None:
    told, page = copy_of(law_group(), "enquiries", "unheard-of")
    kinds = {kind["place"]: kind for kind in told["kinds"]}
    assert kinds["enquiries"]["kind"] == "Enquiries"
    assert kinds["enquiries"]["purpose"] == "To answer you, and to keep the correspondence that follows"
    assert kinds["unheard-of"]["purpose"] == "the policy does not say; ask the controller"
    assert "What this copy has under unheard-of may be of these." in page
    assert "Nothing of these is in this copy." in copy_of(law_group(), "enquiries")[1]
