"""After a step of the optimizer: sensitivities are measured, averages updated, noise is added."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from dither.core.draws import stream_key
from dither.core.noise import SensitivityOutcome, SensitivityState
from dither.core.places import Place
from dither.core.sharding import aligned, is_sharded, local, place_of
from dither.methods.pats import PATS
from dither.methods.targets import Target
from dither.steps.averages import average_of
from dither.steps.groups import GroupState, GroupStates
from dither.steps.notices import Notices
from dither.steps.optimizers import is_dummy_step, skipped_flag
from dither.steps.step_doses import Doses, StepDoses
from dither.steps.tallies import Tally, keep_shared_mean


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
        self._doses = StepDoses(method, groups, total_steps)
        self.notices = Notices(method, groups, total_steps)
        self._keys = {
            key: stream_key(seed, method.family, row.named.name) for key, row in self.targets.items()
        }
        self._places: dict[int, Place] = {}
        self._tallies: list[Tally] = []

    def begin(self) -> None:
        """Go on from what the optimizer's groups hold."""
        self._groups.forget_constants(self.targets)
        self.notices.begin()

    def write(self) -> None:
        """Write what is still on a device to the optimizer's groups.

        Raises:
            ValueError: a learning rate that was not read in time was above the highest of the run.
        """
        for tally in self._tallies:
            tally.write()
        self._doses.check()

    def add(self) -> None:
        """Count the step if it was one, then measure and add noise."""
        work = self._gradients()
        skipped = skipped_flag(self._optimizer)
        if not work:
            self.notices.no_gradient()
        if not work or (skipped is not None and not skipped.is_cuda and bool(skipped)):
            return
        dummy = is_dummy_step(self._optimizer, ((row.named.parameter, gradient) for row, gradient in work))
        work = [(row, gradient) for row, gradient in work if id(row.named.parameter) in self.targets]
        if dummy:  # what loads a distributed checkpoint looks here for the tensors to be filled
            for row, _ in work:
                average_of(self._optimizer, row, self._method.average)
            return
        self._groups.check()
        self.notices.follow_state()
        doses = self._doses.of_step(self.notices.steps + 1)
        tallies = self._current_tallies()
        if not tallies:  # every tensor is left alone: the steps count all the same
            self._groups.write(self._groups.step + 1)
        outcomes = [self._step_on(tally, work, doses, skipped) for tally in tallies]
        if self._method.across == "model" and outcomes:
            keep_shared_mean(tallies, outcomes)
        for tally in tallies:
            if not tally.waits:
                tally.write()
        self.notices.count(doses, waits=any(tally.waits for tally in tallies))

    def _step_on(
        self,
        tally: Tally,
        work: Sequence[tuple[Target, Tensor]],
        doses: Doses,
        skipped: Tensor | None,
    ) -> SensitivityOutcome:
        """The step of the tensors of one device."""
        flag = doses.skipped(skipped, tally.device)
        mine = [(row, gradient) for row, gradient in work if row.named.parameter.device == tally.device]
        index = self._groups.index()
        owners = [index[id(row.named.parameter)] for row, _ in mine]
        # These refuse what is foreign: only then the step is counted.
        states = [self._state(*one, owner) for one, owner in zip(mine, owners, strict=True)]
        step = tally.count_step(flag)
        parameters = [row.named.parameter for row, _ in mine]
        scales = doses.scales(tally, [row.strength for row, _ in mine], owners)
        due = self._method.adds_noise_at(step)
        scales *= due
        if doses.counted:
            tally.give(doses.squares(tally.device), due & (step > 1), flag)
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
