"""Noise: integer discrete Gaussian by OpenDP under zero-concentrated differential privacy, through a privacy filter.

Every draw is asked of one filter per release, which was given the release's whole budget: a draw beyond it is refused
by OpenDP itself. A refused question makes a filter unusable, so what was spent is also kept in `budget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics.anonymise.bounds import LATTICE_MARGIN, Measurement, Plan
from analytics.anonymise.cubes import MAX_KEYS
from analytics.anonymise.sealed import SealError

Cells = dict[str, int]


class OverspendError(SealError):
    """A draw or a seal would spend more than the promise allows."""


class Mechanism:
    """Draws the measurements of one plan, each once."""

    def __init__(self, plan: Plan) -> None:
        import opendp.prelude as dp

        dp.enable_features("contrib", "honest-but-curious")
        self._dp = dp
        self._drawn: set[str] = set()
        self._measure = dp.approximate(dp.zero_concentrated_divergence())
        self._domain = dp.user_domain("RawPeriod", member=lambda value: isinstance(value, dict))
        self._metric = dp.user_distance("visitor-periods")
        composition = dp.c.make_fully_adaptive_composition(self._domain, self._metric, self._measure)
        # OpenDP rounds each rho up a little; the margin was taken off mu before.
        budget = (plan.rho * LATTICE_MARGIN, plan.delta)
        self._filter = dp.c.make_privacy_filter(composition, d_in=1, d_out=budget)
        self._ask: Any = None

    def open(self, sums: Mapping[str, Mapping[str, int]]) -> None:
        """Give the filter its data: label of a measurement -> key -> bounded sum in sixteenths."""
        self._ask = self._filter({label: dict(cells) for label, cells in sums.items()})

    def draw(self, measurement: Measurement, keys: tuple[str, ...] | None = None) -> Cells:
        """The noisy cells in sixteenths. `keys`: those that the cube's threshold released, for a `selected` one.

        Raises OverspendError when the filter refuses, ValueError for a second draw of the same measurement.
        """
        if measurement.label in self._drawn:
            raise ValueError(f"{measurement.label} was drawn already: noise is drawn once")
        self._drawn.add(measurement.label)
        if measurement.kind == "threshold":
            return {str(key): int(value) for key, value in self._asked(self._thresholded(measurement)).items()}
        names = measurement.keys if keys is None else keys
        if not names:
            return {}
        values = self._asked(self._known(measurement, names))
        return dict(zip(names, (int(value) for value in values), strict=True))

    def _asked(self, question: Any) -> Any:
        try:
            return self._ask(question)
        except self._dp.OpenDPException as error:
            # "unknown ordering": less rho, but more delta, than is left.
            if any(word in str(error).lower() for word in ("budget", "filter", "exceed", "unknown ordering")):
                raise OverspendError(f"the privacy filter refuses: {' '.join(str(error.message).split())}") from None
            raise

    def _known(self, measurement: Measurement, names: tuple[str, ...]) -> Any:
        dp, label = self._dp, measurement.label
        bounded = dp.t.make_user_transformation(
            self._domain,
            self._metric,
            dp.vector_domain(dp.atom_domain(T="i64"), size=len(names)),
            dp.l2_distance(T="f64"),
            lambda sums: [sums[label].get(name, 0) for name in names],
            lambda visitors: visitors * measurement.l2,
        )
        return dp.c.make_approximate(bounded >> dp.m.then_gaussian(scale=measurement.scale))

    def _thresholded(self, measurement: Measurement) -> Any:
        dp, label = self._dp, measurement.label
        assert measurement.tau is not None
        bounded = dp.t.make_user_transformation(
            self._domain,
            self._metric,
            dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T="i64")),
            dp.l02inf_distance(dp.absolute_distance(T="f64")),
            lambda sums: sums[label],
            lambda visitors: (MAX_KEYS * visitors, measurement.l2 * visitors, float(measurement.linf * visitors)),
        )
        # OpenDP 2922: the integer threshold under-states delta by the mass at tau; releasing at tau + 1 covers it.
        threshold = release_at(measurement.tau)
        return bounded >> dp.m.then_gaussian_threshold(scale=measurement.scale, threshold=threshold)


def release_at(tau: int) -> int:
    """The smallest noisy sum, in sixteenths, at which an unknown key is released."""
    return tau + 1
