"""Consent records in the words of the Data Privacy Vocabulary (W3C DPV 2), with the fields of ISO/IEC TS 27560:2023."""

from __future__ import annotations

import datetime as dt
from typing import Any

from consent_middleware.ledger.record import ConsentRecord

CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "cm": "urn:consent-middleware:",
}
STATUS = {
    "given": "dpv:ConsentGiven",
    "renewed": "dpv:RenewedConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "expired": "dpv:ConsentExpired",
    "objected": "dpv:ConsentRefused",
}


def moment(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_of(record: ConsentRecord) -> dict[str, Any]:
    """One entry as a JSON-LD node: the event, its state, and what it was about."""
    node: dict[str, Any] = {
        "@type": "dpv:ConsentRecord",
        "dct:identifier": record.record_id,
        "cm:schemaVersion": record.schema,
        "cm:eventType": record.event,
        "dpv:hasConsentStatus": {"@id": STATUS.get(record.event, "dpv:ConsentUnknown")},
        "dpv:isIndicatedAtTime": {"@value": moment(record.at), "@type": "xsd:dateTime"},
        "dpv:hasDataController": {"@type": "dpv:DataController", "dpv:hasName": record.controller},
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "cm:sha256": record.notice,
            "dct:language": record.language,
            "cm:revision": record.revision,
            "cm:policyFingerprint": record.fingerprint,
        },
        "dpv:hasPurpose": [
            {"@id": f"cm:purpose/{purpose}", "@type": "dpv:Purpose", "cm:granted": given}
            for purpose, given in sorted(record.purposes.items())
        ],
        "dpv:hasIndicationMethod": record.method,
        "cm:regime": record.regime,
        "cm:signals": list(record.signals),
    }
    if record.until:
        node["dpv:hasExpiryTime"] = {"@value": moment(record.until), "@type": "xsd:dateTime"}
    if record.recipients:
        node["dpv:hasRecipient"] = [{"@type": "dpv:ThirdParty", "dpv:hasName": name} for name in record.recipients]
    if record.reason:
        node["dpv:hasJustification"] = record.reason
    if record.previous:
        node["dct:replaces"] = record.previous
    return node
