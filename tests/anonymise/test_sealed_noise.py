"""Is the noise in a sealed file the noise that its manifest states? Known counts, the real SQL, engine and seal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.anonymise import bounds
from analytics.anonymise.mechanism import Mechanism
from analytics.anonymise.release import seal
from tests.anonymise.audit_tools import DAY, NOW, SITE, hit, policy, put

SOME = '[anonymity]\ncubes = ["total", "path", "source", "country", "weekday-hour"]\n'
WHOLE_DAY = "[anonymity.shares]\nday = 1.0\nweek = 0.0\nmonth = 0.0\n"
KINDS = ("known", "threshold", "selected", "retention")
SEALS = 10
GROUPS, EACH = 12, 700  # so many visitors of each page and source that every threshold is passed
# Each kind is tried on two sides: that a correct seal fails any of them has a chance below one in a million.
FALSE_ALARM = 1e-6 / (2 * len(KINDS))


def rows() -> Iterator[dict[str, Any]]:
    """Visitors of one page view each: nothing is clipped, so that every bounded sum is a count that is known here."""
    for group in range(GROUPS):
        for number in range(EACH):
            yield hit(
                1 + group * EACH + number, 36_000 + number, path=f"/{group}", source=f"s{group}.example",
                channel="Referral", country="GB", language="en", browser="Firefox", os="Linux", device="desktop",
            )  # fmt: skip


def counts() -> dict[str, dict[str, int]]:
    """Cube -> key -> how many visitors, visits, page views and bounces: all the same number."""
    whole = GROUPS * EACH
    pages = {f"/{group}": EACH for group in range(GROUPS)}
    return {
        "total": {"": whole},
        "path": pages,
        "entry-page": pages,
        "exit-page": pages,
        "source": {f"s{group}.example": EACH for group in range(GROUPS)},
        "channel": {"Referral": whole},
        "country": {"GB": whole},
        "language": {"en": whole},
        "browser": {"Firefox": whole},
        "os": {"Linux": whole},
        "device": {"desktop": whole},
        "weekday-hour": {"thu-10": whole},
        "visit-length": {"0s": whole},
    }


def expected(cube: str, metric: str, key: str) -> int:
    if metric == "events" or metric.endswith(("-lost", "-beyond")):
        return 0
    return GROUPS * EACH if metric.endswith("-kept") else counts().get(cube, {}).get(key, 0)


def limits(cells: int) -> tuple[float, float]:
    """Between which the mean square of so many standard Gaussians lies, but for FALSE_ALARM on each side (Chernoff).

    P(chi-square(n) / n >= t) <= exp(-n (t - 1 - ln t) / 2) for t > 1, and the same for <= t where t < 1.
    """
    found = []
    for inside, outside in ((1.0, 1e-9), (1.0, 100.0)):
        for _ in range(100):
            middle = (inside + outside) / 2
            rare = math.exp(-cells * (middle - 1 - math.log(middle)) / 2) <= FALSE_ALARM
            inside, outside = (inside, middle) if rare else (middle, outside)
        found.append(outside)
    return found[0], found[1]


def dispersion(store: Any, folder: Path, cubes: str = SOME) -> dict[str, tuple[float, int]]:
    """Kind of measurement -> mean square of (sealed value - known count) / stated sigma, over how many cells."""
    put(store, rows())
    squares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(SEALS):
        release = seal(store, policy(cubes + WHOLE_DAY), SITE, DAY, folder / str(number), now=NOW)
        stated = {(m["cube"], m["metric"]): m for m in release.manifest["measurements"]}
        for cell in release.cells():
            m = stated[cell.cube, cell.metric]
            off = (cell.value - expected(cell.cube, cell.metric, cell.key)) / m["sigma"]
            squares[m["keys"]].append(off**2)
    return {kind: (math.fsum(found) / len(found), len(found)) for kind, found in squares.items()}


def too_small_or_large(found: dict[str, tuple[float, int]]) -> list[str]:
    return [kind for kind, (mean, cells) in found.items() if not limits(cells)[0] <= mean <= limits(cells)[1]]


@pytest.mark.parametrize(
    "cubes", [pytest.param(SOME, id="some cubes"), pytest.param("", id="all", marks=pytest.mark.audit)]
)
def test_sealed_cells_hold_the_noise_that_the_manifest_states(store: Any, tmp_path: Path, cubes: str) -> None:
    found = dispersion(store, tmp_path, cubes)
    assert too_small_or_large(found) == [], found
    assert min(cells for _, cells in found.values()) >= 100, "enough to see half of sigma"


@pytest.mark.parametrize("part", [2, pytest.param(4, marks=pytest.mark.audit)])
def test_a_part_of_the_sigma_is_noticed_in_the_sealed_cells_of_every_kind(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """The fault: OpenDP is asked for less noise than the plan and the manifest say, for visitors who weigh less."""
    honest = {name: getattr(Mechanism, name) for name in ("_known", "_thresholded")}

    def weaker(name: str) -> Any:
        def question(self: Mechanism, m: bounds.Measurement, *keys: Any) -> Any:
            less = {"scale": m.scale / part, "l2": m.l2 / part, "linf": m.linf // part}
            return honest[name](self, msgspec.structs.replace(m, **less), *keys)

        return question

    for name in honest:
        monkeypatch.setattr(Mechanism, name, weaker(name))
    assert too_small_or_large(dispersion(store, tmp_path)) == list(KINDS)
