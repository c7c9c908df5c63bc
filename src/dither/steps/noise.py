"""After a step of the optimizer: sensitivities are measured, averages updated, noise is added."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from dither.core.draws import stream_key
from dither.core.noise import SensitivityOutcome, SensitivityState
from dither.core.places import Place
from dither.core.schedules import dose_factor
from dither.core.sharding import aligned, is_sharded, local, place_of
from dither.methods.pats import PATS
from dither.methods.targets import Target
from dither.steps.averages import average_of
from dither.steps.groups import GroupState, GroupStates
from dither.steps.optimizers import is_dummy_step, skipped_flag
from dither.steps.tallies import Tally, keep_shared_mean

logger = logging.getLogger("dither")


class StepNoise:
    """The noise of a method after each step of one optimizer."""

    def __init__(
        self,
        method: PATS,
        optimizer: Optimizer,
        rows: Sequence[Target],
        groups: GroupStates,
        *,
        total_steps: int | None,
        seed: int,
    ) -> None:
        self.targets = {id(row.named.parameter): row for row in rows if row.reason is None}
        self._method = method
        self._optimizer = optimizer
        self._groups = groups
        self._rows = rows
        self._total_steps = total_steps
        self._keys = {
            key: stream_key(seed, method.family, row.named.name) for key, row in self.targets.items()
        }
        self._places: dict[int, Place] = {}
        self._tallies: list[Tally] = []
        self._steps_seen = 0

    def begin(self) -> None:
        """Go on from what the optimizer's groups hold."""
        self._groups.forget_constants(self.targets)
        self._steps_seen = self._groups.step

    def write(self) -> None:
        """Write what is still on a device to the optimizer's groups."""
        for tally in self._tallies:
            tally.write()

    def add(self) -> None:
        """Count the step if it was one, then measure and add noise."""
        work = self._gradients()
        skipped = skipped_flag(self._optimizer)
        if not work or (skipped is not None and not skipped.is_cuda and bool(skipped)):
            return
        dummy = is_dummy_step(self._optimizer, ((row.named.parameter, gradient) for row, gradient in work))
        work = [(row, gradient) for row, gradient in work if id(row.named.parameter) in self.targets]
        if dummy:  # what loads a distributed checkpoint looks here for the tensors to be filled
            for row, _ in work:
                average_of(self._optimizer, row, self._method.average)
            return
        self._groups.check()
        tallies = self._current_tallies()
        if not tallies:  # every tensor is left alone: the steps count all the same
            self._groups.write(self._groups.step + 1)
        outcomes = [self._step_on(tally, work, skipped) for tally in tallies]
        if self._method.across == "model" and outcomes:
            keep_shared_mean(tallies, outcomes)
        for tally in tallies:
            if not tally.waits:
                tally.write()
        self._warn_beyond_plan(any(tally.waits for tally in tallies))

    def _step_on(
        self, tally: Tally, work: Sequence[tuple[Target, Tensor]], skipped: Tensor | None
    ) -> SensitivityOutcome:
        """The step of the tensors of one device."""
        flag = None if skipped is None else skipped.to(tally.device, non_blocking=True)
        mine = [(row, gradient) for row, gradient in work if row.named.parameter.device == tally.device]
        index = self._groups.index()
        owners = [index[id(row.named.parameter)] for row, _ in mine]
        # These refuse what is foreign: only then the step is counted.
        states = [self._state(*one, owner) for one, owner in zip(mine, owners, strict=True)]
        step = tally.count_step(flag)
        parameters = [row.named.parameter for row, _ in mine]
        scales = tally.numbers(self._scales([row for row, _ in mine], owners))
        scales *= self._method.adds_noise_at(step)
        return tally.sensitivity_step_(parameters, states, self._method.rule, scales, flag)

    def _current_tallies(self) -> list[Tally]:
        """One for each device that holds a target; made anew when the model was moved."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for row in self.targets.values():
            by_device.setdefault(row.named.parameter.device, []).append(row.named.parameter)
        if [tally.device for tally in self._tallies] != list(by_device):
            self.write()
            self._tallies = [Tally(self._groups, parameters) for parameters in by_device.values()]
        return self._tallies

    def _warn_beyond_plan(self, waits: bool) -> None:
        """Say once that the run is longer than planned; where asking would wait, skipped steps count."""
        self._steps_seen = self._steps_seen + 1 if waits else self._groups.step
        if self._total_steps is not None and self._steps_seen == self._total_steps + 1:
            logger.warning(
                "PATS: step %d of a run that was planned for %d optimizer steps; noise_lambda is no longer "
                "the dose of the whole run (total_steps counts optimizer steps, not batches)",
                self._steps_seen,
                self._total_steps,
            )

    def _gradients(self) -> list[tuple[Target, Tensor]]:
        """The optimizer's parameters that have a gradient, with it."""
        found, held = [], self._groups.index()
        for row in self._rows:
            gradient = row.named.parameter.grad
            if gradient is None or row.named.tied_to is not None or id(row.named.parameter) not in held:
                continue
            if gradient.is_sparse and id(row.named.parameter) in self.targets:
                raise ValueError(
                    f"the gradient of {row.named.path!r} is sparse, and PATS needs dense ones; build the "
                    f"embedding with sparse=False, or leave it out with exclude={row.named.name!r}"
                )
            found.append((row, gradient))
        return found

    def _state(self, row: Target, gradient: Tensor, owner: GroupState) -> SensitivityState:
        """What of a tensor lies in this process."""
        parameter, key = row.named.parameter, id(row.named.parameter)
        if key not in self._places:
            self._places[key] = place_of(parameter)
        # One m for all tensors tells nothing of each.
        was_active = self._method.across == "tensor" and owner.mean > 0.0
        average = average_of(self._optimizer, row, self._method.average, was_active=was_active)
        weight: Tensor = parameter
        if is_sharded(parameter):
            weight, average = local(parameter), local(average)
            gradient = local(aligned(gradient, parameter))
        noise = self._keys[key], self._method.rounding, self._places[key]
        return SensitivityState(weight, gradient, average, *noise)

    def _scales(self, rows: Sequence[Target], owners: Sequence[GroupState]) -> list[float]:
        """λ · c_t · std(W_0) of each tensor."""
        factors: dict[tuple[float, float], float] = {}
        found = []
        for row, owner in zip(rows, owners, strict=True):
            rates = owner.lr, owner.lr_max
            if rates not in factors:
                steps, every = self._total_steps, self._method.every
                factors[rates] = dose_factor(*rates, total_steps=steps, every=every)
            found.append(row.strength * factors[rates] * owner.std)
        return found
