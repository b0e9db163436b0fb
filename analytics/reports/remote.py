"""A running service as a command sees it: who owns the data folder, and how it is asked."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from consent_middleware.lazy import UserError

ANSWER_SECONDS = 1500.0  # longer than the service lets a question wait and run


class Refused(UserError):
    """A question that cannot be answered: `path` is the place of the fault in it, `nearest` a released period."""

    def __init__(self, told: str, path: str = "", nearest: str = "") -> None:
        super().__init__(told)
        self.path, self.nearest = path, nearest


class Remote:
    """A running service, asked with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        self.question = secrets.token_hex(8)

    def about(self) -> dict[str, Any]:
        return self.send("/api/sites", None)

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        return self.send("/api/v2/query", query, ANSWER_SECONDS, self.question)

    def share(self) -> float:
        with contextlib.suppress(UserError):  # it is over, or has not begun
            return float(self.send(f"/api/progress/{self.question}", None)["share"])
        return 0.0

    def stop(self) -> None:
        """Nothing to do: the service ends what a command asked when its connection closes."""

    def send(self, path: str, body: object, timeout: float = 60.0, question: str = "") -> dict[str, Any]:
        """The answer's JSON; `timeout` in seconds. Raises UserError."""
        import urllib.error  # here, because most commands find no service
        import urllib.request

        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        headers |= {"x-question": question} if question else {}
        request = urllib.request.Request(self.url + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            try:
                told = json.load(error)
                refused = Refused(told["error"], str(told.get("path", "")), str(told.get("nearest", "")))
            except (ValueError, KeyError, TypeError, AttributeError):
                refused = Refused(f"HTTP {error.code}")
            raise refused from None
        except (urllib.error.URLError, OSError) as error:
            raise UserError(f"{self.url}: the service does not answer: {error}") from None


def running_service(data_dir: Path) -> Remote | None:
    """The service that owns this data folder, if one runs."""
    try:
        contact = json.loads((data_dir / "service.json").read_text("utf-8"))
        os.kill(contact["process"], 0)
        return Remote(contact["url"], contact["token"])
    except (OSError, ValueError, KeyError):
        return None
