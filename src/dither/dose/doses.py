"""What was measured: a functional dose, and a strength that was matched to one."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from dither.core.selection import Strength


@dataclass(frozen=True, kw_only=True)
class FunctionalDose:
    """How far a method's noise moves a model's last hidden states; `float(dose)` is d.

    Attributes:
        d: sqrt(mean ‖h′ − h‖² / mean ‖h − h̄‖²), mean over the draws; 0 without noise.
        draws: d of each draw of the noise.
        noise_lambda: λ at which it was measured; None for a method without.
        energy: root mean square of the whole noise over all weights of the model that can be noised, in units
            of weights: weights that a method leaves alone count as 0, so methods can be compared.
        kind: "stays" for noise that stays in the weights, "passing" for noise of a forward pass, "none"
            without noise. Doses of different kinds cannot be compared.
        rows: inputs on which states were read.
        tokens: tokens on which they were compared.
        first_left_out: whether the first real token of each row does not count: in decoders.
        sensitivity_batches: labelled batches on which sensitivity was followed; 0 where none was needed.
        seed: of the calibration's draws.
        method: the method's recipe without its seed.
    """

    d: float
    draws: tuple[float, ...]
    noise_lambda: Strength | None
    energy: float
    kind: Literal["stays", "passing", "none"]
    rows: int
    tokens: int
    first_left_out: bool
    sensitivity_batches: int
    seed: int
    method: Mapping[str, Any]

    def __float__(self) -> float:
        return self.d

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of JSON values."""
        return {row.name: _as_json(getattr(self, row.name)) for row in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FunctionalDose":
        """The dose that `to_json` wrote."""
        return cls(**{**values, "draws": tuple(values["draws"])})


@dataclass(frozen=True, kw_only=True)
class MatchedDose:
    """The strength at which a method has a reference's dose, or its energy.

    Attributes:
        noise_lambda: λ, rounded to three significant digits; a map where the method has one.
        dose: at this λ.
        reference: what was to be reached.
        by: "d" or "energy": which number of the reference.
        tried: d by λ of each trial, in their order; λ relative to the first one's.
    """

    noise_lambda: Strength
    dose: FunctionalDose
    reference: FunctionalDose
    by: Literal["d", "energy"]
    tried: tuple[tuple[float, float], ...] = ()

    @property
    def reference_method(self) -> Mapping[str, Any]:
        """The reference's recipe."""
        return self.reference.method

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of JSON values."""
        values = {row.name: _as_json(getattr(self, row.name)) for row in fields(self)}
        return values | {"dose": self.dose.to_json(), "reference": self.reference.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "MatchedDose":
        """The match that `to_json` wrote."""
        doses = {name: FunctionalDose.from_json(values[name]) for name in ("dose", "reference")}
        return cls(**{**values, **doses, "tried": tuple(map(tuple, values["tried"]))})


def _as_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(one) for key, one in value.items()}
    return [_as_json(one) for one in value] if isinstance(value, tuple | list) else value
