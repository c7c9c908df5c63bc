"""What a method says about noise, as values: the writer in the kernels executes them."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dither.core.philox import Key

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
    """What writing noise did to one tensor.

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

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.elements + other.elements,
            self.changed + other.changed,
            self.energy + other.energy,
            self.requested + other.requested,
        )


@dataclass(frozen=True)
class SensitivityState:
    """One tensor at one training step.

    Attributes:
        weight: the parameter, after the optimizer's step.
        gradient: that the step used, of the same shape.
        average: the moving average e, of the same shape; written.
        mean: m of the step before; 0 where there was none yet.
        noise: to add, or None where this step adds none.
    """

    weight: Tensor
    gradient: Tensor
    average: Tensor
    mean: float
    noise: Noise | None


@dataclass(frozen=True)
class SensitivityOutcome:
    """What one step found and did.

    Attributes:
        total: sum of e over the active elements.
        active: their number.
        change: what the noise did to the weight.
    """

    total: float
    active: int
    change: Change
