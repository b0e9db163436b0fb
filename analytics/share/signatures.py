"""HTTP Message Signatures (RFC 9421) with Ed25519, and Content-Digest (RFC 9530)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from analytics.anonymise.signing import Signer, is_signed

COVERED = ("@method", "@target-uri", "content-digest", "content-type", "idempotency-key")


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign(signer: Signer, method: str, url: str, headers: Mapping[str, str], created: int) -> dict[str, str]:
    """The Signature-Input and Signature fields over COVERED; `headers` has lower-case names. Raises KeyError."""
    components = " ".join(f'"{name}"' for name in COVERED)
    parameters = f'({components});created={created};keyid="{signer.public_key}";alg="ed25519"'
    base = signature_base(method, url, headers, parameters)
    return {"signature-input": f"release={parameters}", "signature": f"release=:{signer.sign(base)}:"}


def signature_base(method: str, url: str, headers: Mapping[str, str], parameters: str) -> bytes:
    """RFC 9421, section 2.5."""
    derived = {"@method": method.upper(), "@target-uri": url}
    lines = [f'"{name}": {derived.get(name) or headers[name].strip()}' for name in COVERED]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def is_valid(method: str, url: str, headers: Mapping[str, str], body: bytes, public_key: str) -> bool:
    """What a recipient checks: the digest of the body, and the signature by a key that it knows."""
    given = re.fullmatch(r"release=(\(.*\);.*)", headers.get("signature-input", ""))
    signature = re.fullmatch(r"release=:([A-Za-z0-9+/=]+):", headers.get("signature", ""))
    if not given or not signature or headers.get("content-digest") != content_digest(body):
        return False
    components = " ".join(f'"{name}"' for name in COVERED)
    if not given[1].startswith(f"({components});") or any(name not in headers for name in COVERED[2:]):
        return False
    return is_signed(signature_base(method, url, headers, given[1]), signature[1], public_key)
