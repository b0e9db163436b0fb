"""The wrapped site: `uvicorn examples.law_group.app:app`.

The one call to ConsentMiddleware below is all that the site needs. The secret comes from CONSENT_SECRET_KEYS, the data
folder from CONSENT_DATA_DIR; LAW_GROUP_POLICY and LAW_GROUP_PARTNER let the demo choose other ports.
"""

from __future__ import annotations

import os
from pathlib import Path

from consent_middleware import ConsentMiddleware
from examples.law_group.records import SiteRecords
from examples.law_group.site import LawGroupSite

HERE = Path(__file__).parent
data_dir = Path(os.environ.get("CONSENT_DATA_DIR", "var"))
policy = os.environ.get("LAW_GROUP_POLICY", HERE / "privacy.toml")
partner = os.environ.get("LAW_GROUP_PARTNER", "http://127.0.0.1:8001")

# What the site would do by itself; `uvicorn examples.law_group.app:site` serves it without the gate.
site = LawGroupSite(SiteRecords(data_dir / "site" / "records.sqlite3"), partner).application()

app = ConsentMiddleware(site, policy=policy, data_dir=data_dir)
