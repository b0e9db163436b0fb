"""Where personal data may go: the EEA and the UK freely, elsewhere only with a named safeguard.

The adequacy list is data with a date and a source, because it changes: the file of a site that relies on a decision
which has ended stops loading, and says why.
"""

from __future__ import annotations

import re

EEA = frozenset(re.findall("..", "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSEISLINO"))
PROTECTED = EEA | {"GB"}

ADEQUACY_AS_OF = "2026-01"
ADEQUACY_SOURCE = "European Commission, adequacy decisions under Article 45 GDPR; UK adequacy regulations"
# The United States and Canada are adequate in part only (Data Privacy Framework participants; PIPEDA organisations).
ADEQUATE = frozenset(["AD", "AR", "BR", "CA", "FO", "GG", "IL", "IM", "JE", "JP", "KR", "NZ", "CH", "UY", "US"])
ADEQUATE_IN_PART = frozenset({"CA", "US"})

# Spelled as in the file, lower case; the value is the sentence for the policy page.
SAFEGUARDS = {
    "adequacy": "an adequacy decision",
    "dpf": "the EU-US Data Privacy Framework and its UK extension",
    "scc": "the European Commission's standard contractual clauses",
    "idta": "the UK International Data Transfer Agreement",
    "uk-addendum": "the UK Addendum to the standard contractual clauses",
    "bcr": "binding corporate rules",
    "code-of-conduct": "an approved code of conduct",
    "certification": "an approved certification",
}


def needs_safeguard(country: str) -> bool:
    """Whether data that goes to `country` (ISO 3166-1 alpha-2, empty = not said) leaves the EEA and the UK."""
    return bool(country) and country.upper() not in PROTECTED


def normalise_safeguard(value: str) -> str:
    """`SCC`, `scc (2021/914)` and `standard contractual clauses` name the same one; unknown names stay as written."""
    lowered = value.strip().lower()
    for short, sentence in SAFEGUARDS.items():
        spelled_out = len(lowered) > 3 and lowered in sentence.lower()
        if lowered == short or lowered.startswith((f"{short} ", f"{short}:", f"{short}(")) or spelled_out:
            return short
    return value.strip()


def refuse_transfer(country: str, safeguard: str) -> str | None:
    """Why a transfer to `country` under `safeguard` can't be accepted, or None when it can."""
    if not needs_safeguard(country):
        return None
    if not safeguard.strip():
        return (
            f'"{country}" is outside the EEA and the UK: name the safeguard '
            f"({', '.join(SAFEGUARDS)}), or choose a country inside"
        )
    short = normalise_safeguard(safeguard)
    if short == "adequacy" and country.upper() not in ADEQUATE:
        return (
            f'safeguard "adequacy" does not hold for "{country}": no adequacy decision is known '
            f"(list of {ADEQUACY_AS_OF}); use scc, idta or another safeguard"
        )
    if short == "dpf" and country.upper() != "US":
        return f'safeguard "dpf" holds for "US" only, not for "{country}"'
    return None
