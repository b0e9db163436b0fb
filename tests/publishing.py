"""The example's published policy, sentence by sentence, as its own site serves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.pages.sites import browser

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def published_sentences(folder: Path) -> list[str]:
    """Each thing that the policy page says: a sentence, a fact with its label, or a row of a table."""
    document = browser(folder).get("/_consent/policy.json?lang=en").json()
    sentences = [document["updated_line"]]
    for part in document["parts"]:
        for block in part["blocks"]:
            sentences += _of(block)
    return list(dict.fromkeys(sentences))


def _of(block: dict[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "paragraph":
            yield from SENTENCE_END.split(block["text"])
        case "list":
            for item in block["items"]:
                yield from SENTENCE_END.split(item)
        case "facts":
            for label, text in block["pairs"]:
                yield ": ".join(filter(None, (block["caption"], label, text)))
        case "table":
            for row in block["rows"]:
                yield f"{block['caption']}: " + " · ".join(filter(None, row))
        case "link":
            yield block["text"]
        case kind:
            raise AssertionError(f"a block that nobody reads: {kind}")
