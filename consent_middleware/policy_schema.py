"""The JSON Schema of privacy.toml, generated from the structs and shipped for editors.

`python -m consent_middleware.policy_schema` writes it again; a test fails when the shipped file is not the structs'.
Editors that understand TOML take it from a first line `#:schema <path or address of privacy.schema.json>`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from consent_middleware.policy import File

SCHEMA_FILE = Path(__file__).with_name("privacy.schema.json")


def schema() -> bytes:
    """The schema as indented JSON, UTF-8."""
    generated = msgspec.json.schema(File)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "privacy.toml",
        "description": "A site's privacy policy, as a file that the software enforces.",
        **generated,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(schema())
