"""What each parameter group gets of the run's dose at a step, and the refusal of a learning rate too high."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dither.core.schedules import TOLERANCE, is_within, linear_factor, step_dose
from dither.methods.pats import PATS
from dither.steps.groups import KEY, GroupState, GroupStates
from dither.steps.optimizers import waits
from dither.steps.tallies import Tally


@dataclass(frozen=True)
class Doses:
    """c_t of each parameter group at one step.

    Attributes:
        values: numbers, or tensors where the learning rate lies on a GPU and reading it would wait.
        refused: on that GPU: whether such a learning rate is above the highest of the run; None without one.
        counted: whether Σ c² is kept.
    """

    values: tuple[float | Tensor, ...]
    refused: Tensor | None
    counted: bool

    def skipped(self, flag: Tensor | None, device: torch.device) -> Tensor | None:
        """What makes a step not happen on a device: an optimizer's flag, or a learning rate too high."""
        if self.refused is None:
            return None if flag is None else flag.to(device, non_blocking=True)
        refused = self.refused.to(device, torch.float32, non_blocking=True)
        return refused if flag is None else refused + flag.to(device, non_blocking=True)

    def scales(self, tally: Tally, strengths: Sequence[float], owners: Sequence[GroupState]) -> Tensor:
        """λ · c_t · std(W_0) of each tensor, float32 on the tally's device."""
        shares = [self.values[owner.number] for owner in owners]
        known = [1.0 if isinstance(share, Tensor) else share for share in shares]
        rows = zip(strengths, known, owners, strict=True)
        scales = tally.numbers([strength * share * owner.std for strength, share, owner in rows])
        if self.refused is None:
            return scales
        return scales * _on(tally.device, [share if isinstance(share, Tensor) else 1.0 for share in shares])

    def squares(self, device: torch.device) -> Tensor:
        """c² of each group, float64, without waiting for the device."""
        if self.refused is None:
            return torch.tensor(self.values, dtype=torch.float64).square().to(device, non_blocking=True)
        return _on(device, self.values).square()


class StepDoses:
    """The doses of one optimizer's steps; a learning rate above the highest of the run is refused.

    Where the learning rate is a number, or a tensor on the CPU, that is before anything is written. One on a
    GPU is compared there: the step then does nothing and is not counted, and the error comes when something
    of the state is read: `state_dict()`, the handle's `step`, `record()` and `detach()`.
    """

    def __init__(self, method: PATS, groups: GroupStates, total_steps: int | None) -> None:
        self._groups = groups
        self._plain_factor = 1.0
        if not method.per_step and total_steps is not None:
            self._plain_factor = linear_factor(total_steps, method.every)
        self._highest: dict[int, Tensor] = {}  # by group: the highest lr / lr_max on the GPU so far

    def of_step(self, step: int) -> Doses:
        """The doses of a step, counted from 1.

        Raises:
            ValueError: the learning rate of a group is above the highest of the run, or none.
        """
        factors = self._groups.factors
        values: list[float | Tensor] = [0.0] * len(factors)
        for number, group in self._groups.noised():
            rate, lr_max, factor = group["lr"], group[KEY]["lr_max"], factors[number]
            factor = self._plain_factor if factor is None else factor
            if waits(rate):
                values[number] = self._noted(number, rate.detach().to(torch.float32) / lr_max) * factor
                continue
            if not is_within(float(rate) / lr_max):
                raise ValueError(_too_high(number, float(rate), lr_max, f" at step {step}"))
            values[number] = step_dose(float(rate), lr_max, factor)
        return Doses(tuple(values), self._refused(), counted=None not in factors)

    def check(self) -> None:
        """Raise the error of a learning rate that was compared on its GPU; this waits for it."""
        for number, highest in self._highest.items():
            if not is_within(ratio := float(highest)):
                lr_max = self._groups.lr_max(number)
                raise ValueError(_too_high(number, ratio * lr_max, lr_max, ""))

    def _noted(self, number: int, ratio: Tensor) -> Tensor:
        ratio = torch.where(ratio >= 0.0, ratio, torch.inf)  # neither negative nor NaN
        before = self._highest.get(number)
        self._highest[number] = ratio.clone() if before is None else torch.maximum(before, ratio)
        return torch.where(ratio <= 1.0 + TOLERANCE, ratio, 0.0)

    def _refused(self) -> Tensor | None:
        """Whether any was too high so far: after such a step the doses do not add up, so none follows."""
        found = [highest > 1.0 + TOLERANCE for highest in self._highest.values()]
        return torch.stack([one.to(found[0].device) for one in found]).any() if found else None


def _on(device: torch.device, values: Sequence[float | Tensor]) -> Tensor:
    rows = [torch.as_tensor(one, dtype=torch.float64) for one in values]
    return torch.stack([row.to(device, non_blocking=True) for row in rows])


def _too_high(number: int, rate: float, lr_max: float, when: str) -> str:
    return (
        f"the learning rate of parameter group {number} is {rate:g}{when}, outside [0, lr_max]: the highest "
        f"of the run was taken for lr_max={lr_max:g} when PATS was attached. No noise was added. Attach once "
        "the scheduler is made, with dither.attach(..., schedule=scheduler), or give the highest: "
        "PATS(lr_max=...); with reset=True where steps were counted already"
    )
