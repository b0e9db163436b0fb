"""Values as TOML text, for the drafts that commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping

Value = str | int | bool | tuple[str, ...]


def toml_value(value: Value) -> str:
    """A string, number, truth value or list of strings. TOML's basic strings are JSON's, but for DEL."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def toml_table(name: str, values: Mapping[str, Value], comment: str = "") -> str:
    """`[[name]]` and its keys; `comment` stands above, on one line."""
    lines = [f"# {' '.join(comment.split())}"] if comment else []
    lines.append(f"[[{name}]]")
    lines += [f"{key} = {toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
