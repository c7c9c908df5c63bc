"""What was noised, how much, and what was left alone and why."""

import io
import math
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from torch import Tensor

from dither.core.noise import Change
from dither.methods.targets import Target


@dataclass(frozen=True)
class TensorRecord:
    """One tensor.

    Attributes:
        name: canonical.
        path: as in `model.named_parameters()`.
        shape: of the logical tensor; −1 for what differs from row to row of a nested one.
        dtype: such as "float32".
        reason: why it was skipped, or None if it was noised.
        std: of the tensor before the noise (of W_0 for noise during training).
        strength: λ.
        requested: root mean square of the noise asked for, before rounding to the dtype.
        effective: root mean square of the change that was made.
        unchanged: share of the elements that the noise left as they were, in [0, 1]; over all steps.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    reason: str | None = None
    std: float | None = None
    strength: float | None = None
    requested: float | None = None
    effective: float | None = None
    unchanged: float | None = None

    @classmethod
    def of(cls, row: Target, reason: str | None, *, std: float | None) -> "TensorRecord":
        """The row of a target to which nothing was done so far."""
        parameter = row.named.parameter
        return cls(
            name=row.named.name,
            path=row.named.path,
            shape=_shape(parameter),
            dtype=str(parameter.dtype).removeprefix("torch."),
            reason=reason,
            std=std,
            strength=row.strength if reason is None else None,
        )

    @property
    def noised(self) -> bool:
        """Whether the tensor got noise."""
        return self.reason is None

    def with_change(self, change: Change, elements: int) -> "TensorRecord":
        """This row with what was done: energies over `elements` give root mean squares."""
        return replace(
            self,
            requested=math.sqrt(change.requested / elements),
            effective=math.sqrt(change.energy / elements),
            unchanged=1.0 - change.changed / change.elements if change.elements else 1.0,
        )


@dataclass(frozen=True)
class Record:
    """Every tensor accounted for, with the recipe that repeats the noise.

    `print(record)` shows a table; `to_json` and `from_json` round-trip.

    Attributes:
        recipe: everything that determines the noise: version, method, settings, seed.
        recipe_hash: its hash, as it stands on the model.
        backend: which code wrote the noise.
        threads: of torch on the CPU while it did.
        tensors: one row for each parameter, in the model's order.
        steps: optimizer steps seen (noise during training), else 0.
        dose_given: Σ c² of these steps, the share of the run's dose given so far: the noise of a weight that
            always got it in full has the spread of λ · sqrt(dose_given). 1 at the end of a run as planned;
            None for noise before training and for rules under which λ is not the dose of the run.
        message: what the caller should know, such as "already noised: nothing was done".
        dose: the functional dose of the recipe where the caller measured it, as JSON values.

    Example:
        >>> import torch, dither
        >>> record = dither.noisytune_(torch.nn.Linear(4, 1), noise_lambda=0.15, seed=0)
        >>> [(row.name, row.noised, row.reason) for row in record.tensors]
        [('weight', True, None), ('bias', False, 'one element')]
        >>> Record.from_json(record.to_json()) == record
        True
    """

    recipe: Mapping[str, Any]
    recipe_hash: str
    backend: str
    threads: int
    tensors: tuple[TensorRecord, ...]
    steps: int = 0
    dose_given: float | None = None
    message: str = ""
    dose: Mapping[str, Any] | None = None

    def with_dose(self, dose: Mapping[str, Any]) -> "Record":
        """This record with a functional dose.

        Args:
            dose: `dither.FunctionalDose.to_json()`.

        Raises:
            ValueError: there is no number `d` in it.
        """
        if isinstance(dose.get("d"), bool) or not isinstance(dose.get("d"), int | float):
            raise ValueError(
                f"a dose has a number d, this one has {dose.get('d')!r}; pass "
                "dither.functional_dose(...).to_json()"
            )
        return replace(self, dose=deepcopy(dict(dose)))

    def counts(self) -> dict[str, int]:
        """How many tensors were noised and skipped."""
        noised = sum(row.noised for row in self.tensors)
        return {"noised": noised, "skipped": len(self.tensors) - noised}

    def skipped(self) -> dict[str, int]:
        """How many tensors were skipped for each reason; all ties count as one reason."""
        reasons = (row.reason for row in self.tensors if row.reason is not None)
        return dict(Counter("tied" if reason.startswith("tied to") else reason for reason in reasons))

    def root_mean_square(self, which: str = "effective") -> float:
        """Root mean square of the noise over all elements of the noised tensors.

        Args:
            which: "effective" or "requested".
        """
        rows = [row for row in self.tensors if row.noised]
        elements = sum(math.prod(row.shape) for row in rows)
        energy = sum((getattr(row, which) or 0.0) ** 2 * math.prod(row.shape) for row in rows)
        return math.sqrt(energy / elements) if elements else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of JSON values."""
        values = asdict(self) | {
            "recipe": deepcopy(dict(self.recipe)),
            "tensors": [asdict(row) | {"shape": list(row.shape)} for row in self.tensors],
        }
        for later in ("dose", "dose_given"):
            if values[later] is None:
                del values[later]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Record":
        """The record that `to_json` wrote."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(
                f"a record has no field {sorted(unknown)[0]!r}; fields: {', '.join(sorted(known))}"
            )
        rows = tuple(TensorRecord(**row | {"shape": tuple(row["shape"])}) for row in values["tensors"])
        return cls(**{**values, "tensors": rows})

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for heading in ("tensor", "shape", "std", "λ", "noise (rms)", "effective", "note"):
            table.add_column(heading, justify="left" if heading in ("tensor", "note") else "right")
        for row in self.tensors:
            shape = "×".join(map(str, row.shape))
            numbers = (_number(getattr(row, name)) for name in ("std", "strength", "requested", "effective"))
            table.add_row(row.name, shape, *numbers, row.reason or "")
        console = Console(file=io.StringIO(), width=150, color_system=None)
        console.print(table)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return "\n".join([*(line.rstrip() for line in lines), self.summary()])

    def summary(self) -> str:
        """One line: how many tensors, how much noise, by what."""
        counts, reasons = self.counts(), ", ".join(f"{n} {reason}" for reason, n in self.skipped().items())
        skipped = f"{counts['skipped']} skipped ({reasons})" if reasons else "none skipped"
        dose = "" if self.dose is None else f", functional dose {self.dose['d']:.3g}"
        text = (
            f"{self.recipe.get('method')}, seed {self.recipe.get('seed')}: {counts['noised']} tensors "
            f"noised, {skipped}; noise rms {self.root_mean_square():.3g}{self._dose_given()}{dose}; "
            f"{self.backend}, "
            f"recipe {self.recipe_hash}"
        )
        return f"{text}\n{self.message}" if self.message else text

    def _dose_given(self) -> str:
        if self.dose_given is None:
            return ""
        return f", {math.sqrt(self.dose_given):.3g} of the dose asked for, in {self.steps} steps"


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return (tensor.size(0), *[-1] * (tensor.dim() - 1)) if tensor.is_nested else tuple(tensor.shape)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
