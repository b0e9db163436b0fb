"""Logs for machines: one JSON object a line, with no field for an address, a user agent or a visitor."""

from __future__ import annotations

import datetime as dt
import logging
import sys
import traceback
from typing import IO

import msgspec


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`; of a failure `error`, its type, and `where`: files and lines.

    An exception's own text is left out: engines and drivers quote the rows that they refused.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
        return msgspec.json.encode(line).decode()


def to_json(stream: IO[str] | None = None) -> None:
    """Write every log of this process as JSON lines, to standard error unless told otherwise."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
