"""What a manifest says that it spent, held against the noise and the thresholds that it states itself."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from analytics.anonymise.budget import contradictions
from analytics.anonymise.cubes import MAX_KEYS


def tail(distance: float) -> float:
    return MAX_KEYS * math.erfc(distance / math.sqrt(2)) / 2


def stated() -> dict[str, Any]:
    """Three measurements that state exactly what they spend; two of them choose their keys by a threshold."""
    wide = {"cube": "source", "metric": "visitors", "l2": 2.0, "sigma": 5.0, "tau": 31.0, "delta": tail(30.0 / 5.0)}
    narrow = {"cube": "event", "metric": "visitors", "l2": 0.5, "sigma": 2.0, "tau": 12.5, "delta": tail(12.0 / 2.0)}
    measurements = [{"cube": "total", "metric": "pageviews", "l2": 8.0, "sigma": 10.0}, wide, narrow]
    for m in measurements:
        m["rho"] = (float(m["l2"]) / float(m["sigma"])) ** 2 / 2
    spent = {name: math.fsum(float(m.get(name, 0.0)) for m in measurements) for name in ("rho", "delta")}
    return {"measurements": measurements, "spent": spent}


def test_a_manifest_that_states_what_it_spends_has_no_contradiction() -> None:
    assert contradictions(stated()) == []


@pytest.mark.parametrize(
    ("place", "key", "found"),
    [
        (0, "rho", "total/pageviews: a measurement spends more than it states"),
        (1, "rho", "source/visitors: a measurement spends more than it states"),
        (1, "delta", "source/visitors: a threshold is lower than its delta allows"),
        (2, "delta", "event/visitors: a threshold is lower than its delta allows"),
    ],
)
def test_a_millionth_less_than_what_is_spent_is_found_and_named(place: int, key: str, found: str) -> None:
    manifest = stated()
    manifest["measurements"][place][key] *= 1 - 1e-6
    assert contradictions(manifest) == [found]


@pytest.mark.parametrize("key", ["rho", "delta"])
def test_sums_that_are_a_millionth_too_low_are_found(key: str) -> None:
    manifest = copy.deepcopy(stated())
    manifest["spent"][key] *= 1 - 1e-6
    assert contradictions(manifest) == [f"the measurements do not add up to what is stated as spent ({key})"]
