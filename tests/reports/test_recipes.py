"""The recipes for other tools, as the page for analysts gives them, against sealed releases and the real lane."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
from starlette.applications import Starlette

from analytics.reports.access import Access
from analytics.reports.api import Api
from analytics.reports.guard import Guard
from analytics.reports.reporting import Reporting
from analytics.store import Store
from tests.share.sealed_day import SITE, write_sealed_day

PAGE = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8").partition("## Grafana and Superset")[2]


def test_grafana_gets_its_columns_by_the_body_of_the_page(reporting: Callable[..., Reporting], tmp_path: Path) -> None:
    write_sealed_day(tmp_path)
    held, access = reporting([]), Access(tmp_path)
    app = Starlette(routes=Api(held, Guard(access)).routes())
    found = re.search(r'^    (\{"site_id".*?\})$', PAGE, re.M | re.S)
    assert found
    body = json.loads(found[1])
    assert body["site_id"] == SITE
    path = re.search(r"`(/api/v2/export\?format=json)`", PAGE)
    assert path

    async def ask(role: str, query: dict[str, object]) -> httpx.Response:
        headers = {"authorization": f"Bearer {access.create(role, role)}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stats.example") as client:
            return await client.post(path[1], json=query, headers=headers)

    answer = asyncio.run(ask("auditor", body))
    assert answer.status_code == 200, answer.text
    (day,) = answer.json()
    assert set(day) == {"time:day", "visitors", "visitors_low", "visitors_high"}
    assert day["visitors_low"] < day["visitors"] < day["visitors_high"]
    assert asyncio.run(ask("auditor", body | {"lane": "internal", "with_intervals": False})).status_code == 400


def test_superset_reads_the_sealed_files_by_the_statement_of_the_page(store: Store, tmp_path: Path) -> None:
    write_sealed_day(tmp_path)
    found = re.search(r"```sql\n(.*?)```", PAGE, re.S)
    assert found
    sql = found[1].replace("'releases/", f"'{tmp_path}/releases/")
    ((day, visitors, low, high),) = store.query(sql)
    assert (day, visitors) == ("2026-11-19", 1234)
    assert low < visitors < high
