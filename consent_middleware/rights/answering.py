"""What a request is answered with: everything that the ledger and the site's providers hold about one subject."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from consent_middleware.ledger import Ledger
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights import providers as hooks
from consent_middleware.rights.explaining import Explanation, as_html, explained
from consent_middleware.rights.request import ARTICLES, Request, record_of


class Holding(msgspec.Struct, frozen=True):
    """What one place holds."""

    place: str
    rows: list[dict[str, Any]]


def gather(ledger: Ledger, subject: str) -> list[Holding]:
    """Everything about `subject`: consents of the ledger, and what each provider finds. Raises ProviderError."""
    consents = [
        {
            "purpose": purpose,
            "event": record.event,
            "at": dt.datetime.fromtimestamp(record.at, dt.UTC).isoformat(timespec="seconds"),
            "given": given,
            "method": record.method,
            "record": record.record_id,
            "text (SHA-256)": record.notice,
        }
        for record_id in records_about(ledger, subject)
        for record in ledger.read_now(record_id)
        for purpose, given in record.purposes.items()
    ]
    found = [Holding("consents", consents)] if consents else []
    for name in hooks.providers():
        rows = [dict(row) for row in hooks.call(name, "find", subject)]
        if rows:
            found.append(Holding(name, rows))
    return found


def records_about(ledger: Ledger, subject: str) -> list[str]:
    """The ids of the consent records of a subject, under every name that the site's providers know it by."""
    if record := record_of(subject):
        return [record]
    names = [subject]
    for name in hooks.providers():
        names += hooks.call(name, "subjects", subject) or ()
    found = [record for name in dict.fromkeys(names) for _, record in sorted(ledger.records_of(name).items())]
    return list(dict.fromkeys(found))


def package(
    policy: PrivacyPolicy, request: Request, holdings: list[Holding], asked: Sequence[str], *, site_asked: bool = True
) -> bytes:
    """A ZIP for the person: `data.json`, one CSV for each place, and `read-me.html` for human eyes.

    `asked` are the places that were looked into; `site_asked`: whether the site's own tables are among them.
    """
    explanation = explained(policy, [holding.place for holding in holdings])
    document = {
        "controller": policy.controller.name,
        "request": request.number,
        "right": request.right,
        "article": f"GDPR Art. {ARTICLES[request.right]}",
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "looked_into": [*asked],
        "complete": site_asked,
        "held": {holding.place: holding.rows for holding in holdings},
        "explanation": msgspec.to_builtins(explanation),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.json", json.dumps(document, ensure_ascii=False, indent=2, default=str))
        for holding in holdings:
            archive.writestr(f"{holding.place}.csv", _csv(holding.rows))
        archive.writestr("read-me.html", _page(policy, document, holdings, explanation))
    return out.getvalue()


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _harmless(value: object) -> str:
    """A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _page(policy: PrivacyPolicy, document: Mapping[str, Any], holdings: list[Holding], explanation: Explanation) -> str:
    controller = policy.controller
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Your data</title>',
        "<style>body{font:1rem/1.5 sans-serif;max-width:60rem;margin:2rem auto}td,th{padding:.2rem .8rem .2rem 0;"
        "text-align:left;vertical-align:top}</style>",
        f"<h1>What {html.escape(controller.name)} holds about you</h1><p>{document['article']}, {document['made']}</p>",
    ]
    if not holdings:
        parts.append(f"<p>Nothing was found in: {html.escape(', '.join(document['looked_into']))}.</p>")
    if not document["complete"]:
        parts.append("<p><strong>This copy is not complete: the site's own tables were not asked.</strong></p>")
    for holding in holdings:
        columns = list(dict.fromkeys(name for row in holding.rows for name in row))
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(row.get(name, '')))}</td>" for name in columns) + "</tr>"
            for row in holding.rows
        )
        parts.append(f"<h2>{html.escape(holding.place)}</h2><table><tr>{head}</tr>{rows}</table>")
    return "".join([*parts, as_html(explanation), "</html>"])
