"""A small client of the statistics API, on the standard library alone.

from analytics.client import Client
stats = Client("https://stats.example.org", token)
for row in stats.query("example.org", ["visitors"], by=["event:page"], period="30d", limit=20):
    print(row.dimensions, row.metrics)
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class ClientError(Exception):
    """The service refused: `status`, its words, and the path of the fault inside the query."""

    def __init__(self, status: int, error: str, path: str = "") -> None:
        super().__init__(f"{status}: {error}")
        self.status, self.error, self.path = status, error, path


class Result(NamedTuple):
    """One row of an answer; `intervals` on the released lane only."""

    dimensions: list[str]
    metrics: list[Any]
    intervals: list[Any] | None = None


class Client:
    """Asks one service with one token. Every method raises ClientError."""

    def __init__(self, url: str, token: str, *, timeout: float = 60.0) -> None:
        self.url, self.token, self.timeout = url.rstrip("/"), token, timeout

    def query(
        self,
        site: str,
        metrics: Sequence[str],
        *,
        by: Sequence[str] = (),
        period: str | tuple[str, str] = "30d",
        where: Sequence[Any] = (),
        order_by: Sequence[tuple[str, str]] | None = None,
        limit: int = 1000,
        released: bool = False,
    ) -> Iterator[Result]:
        """Every row of the answer, page by page; `released` asks for sealed numbers with their intervals."""
        question: dict[str, Any] = {
            "site_id": site,
            "metrics": list(metrics),
            "date_range": period,
            "dimensions": list(by),
            "filters": list(where),
        }
        if order_by:
            question["order_by"] = [list(entry) for entry in order_by]
        if released:
            question |= {"lane": "released", "with_intervals": True}
        offset = 0
        while True:
            page = self.ask({**question, "pagination": {"limit": limit, "offset": offset}})["results"]
            for row in page:
                yield Result(row["dimensions"], row["metrics"], row.get("intervals"))
            offset += len(page)
            if len(page) < limit:
                return

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The whole answer - results, meta, query - to a question in the API's own words."""
        answer: dict[str, Any] = json.loads(self._send("/api/v2/query", question))
        return answer

    def export(self, question: dict[str, Any], format_: str = "csv") -> bytes:
        """The answer as a file: csv, json, parquet or arrow."""
        return self._send(f"/api/v2/export?format={format_}", question)

    def releases(self) -> list[dict[str, Any]]:
        """Sealed releases with their signed manifests."""
        found: list[dict[str, Any]] = json.loads(self._send("/api/releases"))["releases"]
        return found

    def _send(self, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                raw: bytes = response.read()
                return raw
        except urllib.error.HTTPError as error:
            try:
                reason = json.load(error)
            except ValueError:
                reason = {}
            raise ClientError(error.code, reason.get("error", error.reason), reason.get("path", "")) from None
        except OSError as error:
            raise ClientError(0, f"{self.url} does not answer: {error}") from None
