"""What `analytics doctor` prints on a terminal of 80 columns."""

from __future__ import annotations

import datetime as dt

import pytest

from analytics.cli import doctor


def test_no_date_and_no_name_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    times = {name: dt.datetime(2026, 11, 20, 10, 11) for name in ("since", "until", "kept_until")}
    held = [{"site": "example.org", "basis": "pseudonymous", "rows": 1_234_567, "visitors": 12_345, **times}]
    kind = {"what": "visits", "count": 1, "since": times["since"], "keeps": "raw_days", "ends": None, "overdue": False}
    found = {"held": held, "kinds": [kind], "requests_open": 0, "bytes_on_disk": 1, "bytes_a_row": 1.0}
    doctor._print({**found, "waiting_bytes": 0, "visitors": {}, "problems": []})
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("2026-11-20") == 4
    assert max(map(len, printed.splitlines())) <= 80
