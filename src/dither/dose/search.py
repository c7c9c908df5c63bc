"""The search for the strength at which a dose is the one asked for."""

import math
from collections.abc import Callable

from dither.dose.doses import FunctionalDose, MatchedDose

TOLERANCE = 0.05
"""A dose within this share of the one asked for is matched."""

_WIDENINGS = 14
_HALVINGS = 20


class Search:
    """Looks for the factor of λ at which d is the one asked for."""

    def __init__(self, dose_at: Callable[[float], FunctionalDose], goal: float) -> None:
        self._dose_at, self._goal = dose_at, goal
        self._tried: dict[float, FunctionalDose] = {}

    def at(self, factor: float) -> FunctionalDose:
        """The dose at a factor."""
        self._tried[factor] = self._dose_at(factor)
        return self._tried[factor]

    def matched(self, goal: FunctionalDose) -> MatchedDose:
        """Go on from the trial at 1: proportion, check, correction, then bisection."""
        factor = 1.0
        for _ in range(2):
            if not self._is_matched(factor) and 0.0 < self._tried[factor].d < math.inf:
                factor *= self._goal / self._tried[factor].d
                self.at(factor)
        if not self._is_matched(factor):
            factor = self._bisected()
        found = self._tried[factor]
        assert found.noise_lambda is not None
        return MatchedDose(
            noise_lambda=found.noise_lambda,
            dose=found,
            reference=goal,
            by="d",
            tried=tuple((factor, dose.d) for factor, dose in self._tried.items()),
        )

    def _is_matched(self, factor: float) -> bool:
        return abs(self._tried[factor].d / self._goal - 1.0) <= TOLERANCE  # False of NaN

    def _is_low(self, factor: float) -> bool:
        return self._tried[factor].d < self._goal  # False of NaN: too much noise

    def _bisected(self) -> float:
        for _ in range(_WIDENINGS):
            if any(map(self._is_low, self._tried)):
                break
            self.at(min(self._tried) / 4.0)
        for _ in range(_WIDENINGS):
            if not all(map(self._is_low, self._tried)):
                break
            self.at(max(self._tried) * 2.0)
        for _ in range(_HALVINGS):
            high = min((one for one in self._tried if not self._is_low(one)), default=math.inf)
            low = max((one for one in self._tried if self._is_low(one) and one < high), default=0.0)
            if not 0.0 < low < high < math.inf:
                break
            middle = math.sqrt(low * high)
            self.at(middle)
            if self._is_matched(middle):
                return middle
        best = max(self._tried.values(), key=lambda dose: dose.d if math.isfinite(dose.d) else -1.0)
        raise ValueError(
            f"no noise_lambda of {best.method.get('method')} reaches d = {self._goal:.3g}: the highest d, "
            f"{best.d:.3g}, was measured at noise_lambda {best.noise_lambda}; match it to a reference of "
            "less noise, or let it noise more (include, vectors)"
        )
