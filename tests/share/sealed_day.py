"""A data folder with one sealed day, and how a test sends it to a recipient."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

from analytics.anonymise import sealed
from analytics.anonymise.budget import Budget
from analytics.anonymise.periods import Period
from analytics.anonymise.release import finish, manifest_of, plan_of
from analytics.anonymise.sealed import Cell
from analytics.anonymise.signing import Signer
from analytics.share import outbox, sharing
from consent_middleware.policy import PrivacyPolicy

SITE = "example.org"
DAY = Period.parse("day:2026-11-19")
NOW = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)
BASE = """
revision = 1
updated = 2026-11-01
[controller]
name = "Example"
[site]
hosts = ["example.org"]
[[purpose]]
id = "analytics"
"""


def policy(data_dir: Path, **recipient: Any) -> PrivacyPolicy:
    values = {"name": "Statistics Ltd", "role": "third-party", "country": "DE", "where": "out"} | recipient
    table = "".join(f"{key} = {json.dumps(value, default=str)}\n" for key, value in values.items())
    path = data_dir / "privacy.toml"
    path.write_text(f"{BASE}[[recipient]]\n{table}")
    return PrivacyPolicy.load(path)


def write_sealed_day(tmp_path: Path, pages: int = 0) -> Path:
    """A data folder with one sealed day, written as `seal` writes it; `pages` makes it as large as a test needs."""
    releases, signer = tmp_path / "releases", Signer.open(tmp_path / "keys")
    text = PrivacyPolicy.parse(BASE)
    plan = plan_of(text, SITE, DAY)
    sigma = {(m.cube, m.metric): m.sigma for m in plan.measurements}
    cells = [
        Cell(SITE, str(DAY), "total", "", "visitors", 1234.5, sigma["total", "visitors"]),
        Cell(SITE, str(DAY), "total", "", "pageviews", 5000.0, sigma["total", "pageviews"]),
        Cell(SITE, str(DAY), "path", "/", "visitors", 900.0, sigma["path", "visitors"]),
        Cell(SITE, str(DAY), "source", "=cmd()", "visitors", 500.0, sigma["source", "visitors"]),
        Cell(SITE, str(DAY), "country", "GB", "visitors", -3.25, sigma["country", "visitors"]),
    ]
    for number in range(pages):
        page = f"/{hashlib.sha256(b'%d' % number).hexdigest()}"  # nothing that compresses well
        cells.append(Cell(SITE, str(DAY), "path", page, "visitors", 10.5, sigma["path", "visitors"]))
    parquet = sealed.write_parquet(cells)
    manifest = manifest_of(plan, text, parquet, len(cells), 1, sealed.GENESIS, NOW)
    signature = signer.sign(sealed.canonical(manifest))
    envelope = sealed.canonical({"manifest": manifest, "key": signer.public_key, "signature": signature})
    with Budget(releases) as budget:
        budget.commit(plan, 1, hashlib.sha256(envelope).hexdigest(), parquet, envelope)
        finish(budget, releases)
    assert sealed.verify(releases) == []
    return tmp_path


def send(data_dir: Path, text: PrivacyPolicy, **options: Any) -> sharing.Outcome:
    log: list[Any] = options.pop("log", [])
    release = sharing.read_release(data_dir / "releases", SITE, options.pop("period", DAY))
    with outbox.Outbox(data_dir / "share") as letters:
        return sharing.share(
            text.recipients[0], release, policy=text, outbox=letters, signer=Signer.open(data_dir / "keys"),
            disclose=options.pop("disclose", log.append), now=options.pop("now", NOW), **options,
        )  # fmt: skip
