"""What a method says about noise, as values: the writer in the kernels executes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dither.core.philox import Key
from dither.core.places import WHOLE, Place
from dither.core.statistics import TOTAL_LIMBS, Moments

Law = Literal["uniform", "gaussian"]
Rounding = Literal["nearest", "stochastic"]
Measure = Literal["gradient", "magnitude"]
Weighting = Literal["insensitivity", "blind", "inverted"]


@dataclass(frozen=True)
class Noise:
    """Additive noise for one tensor: W ← fl(W + fl(u · scale) · r), in float32, rounded once to W's dtype.

    Attributes:
        key: of the tensor's stream of draws.
        scale: a float32 number >= 0; the noise of the uniform law lies within ±scale/2.
        step: counter word; 0 for noise before training, the optimizer step during it.
        law: of the unit draw u.
        keep_zeros: weights that are exactly zero stay zero.
        rounding: to half precision; "stochastic" rounds up with the probability of the remainder.
    """

    key: Key
    scale: float
    step: int = 0
    law: Law = "uniform"
    keep_zeros: bool = False
    rounding: Rounding = "nearest"

    @property
    def reach(self) -> float:
        """No noise is larger: half the scale, or twice as the Gaussian law draws it from 32 bits.

        Example:
            >>> Noise((0, 0), 3.0).reach
            1.5
        """
        return self.scale * (0.5 if self.law == "uniform" else 2.0)


@dataclass(frozen=True)
class SensitivityRule:
    """How PATS and its controls turn gradients into weights r of the noise.

    Attributes:
        beta: decay of the moving average, in [0, 1).
        gamma: exponent of the insensitivity, > 0.
        measure: "gradient" for s = |W·G|, "magnitude" for s = |W| on the same active elements.
        weighting: "insensitivity" for r, "blind" for its root mean square everywhere on the active
            elements, "inverted" for 1 − r at the same root mean square.
        idle: noise also where the step said nothing (s = 0).
    """

    beta: float
    gamma: float
    measure: Measure = "gradient"
    weighting: Weighting = "insensitivity"
    idle: bool = False


@dataclass(frozen=True)
class Change:
    """What writing noise did to one tensor: the counts are exact, the sums of squares good to 2e-6.

    Attributes:
        elements: how many elements the tensor has.
        changed: how many differ afterwards.
        energy: sum of squares of the change that was really made, after rounding.
        requested: sum of squares of the change that was asked for, before rounding.
    """

    elements: int = 0
    changed: int = 0
    energy: float = 0.0
    requested: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> "Change":
        """From the four numbers as floats, as kernels count them.

        Example:
            >>> Change.of([3.0, 2.0, 0.25, 0.5])
            Change(elements=3, changed=2, energy=0.25, requested=0.5)
        """
        return cls(int(values[0]), int(values[1]), values[2], values[3])

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.elements + other.elements,
            self.changed + other.changed,
            self.energy + other.energy,
            self.requested + other.requested,
        )


@dataclass(frozen=True)
class SensitivityState:
    """One tensor at a training step.

    Attributes:
        weight: the parameter, after the optimizer's step.
        gradient: that the step used, of the same shape.
        average: the moving average e, of the same shape; written.
        key: of the tensor's stream of draws.
        rounding: to half precision.
        place: of these elements in the logical tensor.
    """

    weight: Tensor
    gradient: Tensor
    average: Tensor
    key: Key
    rounding: Rounding = "nearest"
    place: Place = WHOLE


def check_shapes(states: Sequence[SensitivityState]) -> None:
    """Refuse a gradient or an average of another shape than its weight's: kernels would go past its end.

    Example:
        >>> one, two = torch.zeros(1), torch.zeros(2)
        >>> check_shapes([SensitivityState(two, one, two, (0, 0))])
        Traceback (most recent call last):
        ...
        ValueError: weight, gradient and average have shapes (2,), (1,), (2,); they must be one
    """
    for state in states:
        if not state.weight.shape == state.gradient.shape == state.average.shape:
            shapes = (state.weight.shape, state.gradient.shape, state.average.shape)
            listed = ", ".join(str(tuple(one)) for one in shapes)
            raise ValueError(f"weight, gradient and average have shapes {listed}; they must be one")


Together = Callable[[list[Moments]], list[Moments]]
"""Adds up what each process found in its part of each tensor of a step: sums over the logical tensors."""


@dataclass(frozen=True)
class StepScalars:
    """The numbers of one training step, on the device of its tensors so that no one has to wait for them.

    Attributes:
        step: t, int64, no dimension; the third counter word of the draws.
        mean: float32 (k,), m of the step before for each of k tensors; 0 where there was none yet.
        scale: float32 (k,), of the noise; 0 where this step adds none.
        skipped: a number, no dimension; where it is not 0, nothing happens (an optimizer's found_inf).
    """

    step: Tensor
    mean: Tensor
    scale: Tensor
    skipped: Tensor | None = None


@dataclass(frozen=True)
class SensitivityOutcome:
    """What one training step found and did to k tensors, on their device.

    Attributes:
        total: int64 (k, TOTAL_LIMBS), the exact sum of e over the active elements (`statistics.integer`).
        active: int64 (k,), the number of these elements. Elements whose e is not finite are in neither.
        change: float64 (k, 4), the fields of `Change`; zeros where there was no noise.
    """

    total: Tensor
    active: Tensor
    change: Tensor

    @classmethod
    def nothing(cls, tensors: int, device: torch.device) -> "SensitivityOutcome":
        """The outcome of a step that did not happen."""
        return cls(
            total=torch.zeros(tensors, TOTAL_LIMBS, dtype=torch.int64, device=device),
            active=torch.zeros(tensors, dtype=torch.int64, device=device),
            change=torch.zeros(tensors, 4, dtype=torch.float64, device=device),
        )
