"""Records for the officer, drawn from privacy.toml: Article 30, impact summary, legitimate interests, transfers.

What the file does not say is listed at the end of each as something to complete, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from consent_middleware.records.assessments import impact, legitimate_interests
from consent_middleware.records.processing import article_30
from consent_middleware.records.transfer_list import transfers

if TYPE_CHECKING:
    from consent_middleware.pages.document import Document
    from consent_middleware.policy import PrivacyPolicy

RECORDS: dict[str, Callable[[PrivacyPolicy], Document]] = {
    "article-30": article_30,
    "dpia": impact,
    "lia": legitimate_interests,
    "transfers": transfers,
}

__all__ = ["RECORDS", "article_30", "impact", "legitimate_interests", "transfers"]
