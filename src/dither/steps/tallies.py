"""The scalars of noise during training while it runs: on the device of the parameters, so that no step waits.

On the CPU they are written to the optimizer's groups after each step; on a GPU that would stop the stream, so
there they are written when somebody asks: `state_dict()`, the handle's `step` and `record()`, `detach()`.
"""

from collections.abc import Sequence
from dataclasses import astuple
from functools import partial

import torch
from torch import Tensor

from dither.core.kernels import Backend, backend_for
from dither.core.logical import add_up_moments, add_up_outcome
from dither.core.noise import SensitivityOutcome, SensitivityRule, SensitivityState, StepScalars
from dither.core.sharding import Ranks
from dither.core.statistics import Moments
from dither.steps.groups import GroupStates


class Tally:
    """t, m, the change and the doses so far of the noised parameters of one device."""

    def __init__(self, groups: GroupStates, parameters: Sequence[Tensor]) -> None:
        self.device = parameters[0].device
        self._groups = groups
        self.parameters = [id(parameter) for parameter in parameters]
        self._ranks = Ranks(parameters)
        self._pairs = Ranks([parameter for parameter in parameters for _ in range(2)])
        self._row = {key: row for row, key in enumerate(self.parameters)}
        self._source: list[object] = []
        self._written = True
        narrow = [row for row, one in enumerate(parameters) if one.dtype == torch.float16]
        self._narrow = set(narrow)
        self.kept_out = torch.zeros(len(parameters) if narrow else 0, dtype=torch.bool, device=self.device)
        """Of tensors in float16: which got no noise at some step, so as not to leave their range."""

    @property
    def waits(self) -> bool:
        """Whether reading a number on this device would make the host wait."""
        return self.device.type != "cpu"

    @property
    def backend(self) -> Backend:
        """Who executes the noise on this device."""
        return backend_for(self.device)

    def count_step(self, skipped: Tensor | None) -> Tensor:
        """Read what the groups hold if it is new, and count one optimizer step.

        Args:
            skipped: on this device; where it is not 0, the step did not happen.

        Returns:
            t, int64, no dimension.
        """
        if self._is_outdated():
            self._read()
        self.step += 1 if skipped is None else skipped == 0
        self._written = False
        return self.step

    def give(self, squares: Tensor, due: Tensor, skipped: Tensor | None) -> None:
        """Add what a step gives to the doses of the groups.

        Args:
            squares: c² of each group, float64, on this device.
            due: whether the step adds noise, on this device.
            skipped: as for `count_step`.
        """
        happens = due if skipped is None else due & (skipped == 0)
        self.given += torch.where(happens, squares, 0.0)

    def numbers(self, values: Sequence[float]) -> Tensor:
        """Numbers as float32 on this device, without waiting for it."""
        return torch.tensor(values, dtype=torch.float32).to(self.device, non_blocking=True)

    def sensitivity_step_(
        self,
        parameters: Sequence[Tensor],
        states: Sequence[SensitivityState],
        rule: SensitivityRule,
        scales: Tensor,
        skipped: Tensor | None,
    ) -> SensitivityOutcome:
        """One training step of the parameters that have a gradient; notes m of each and what it changed.

        Args:
            parameters: those of the tally that have one, in its order.
            states: what of each lies in this process.
            rule, scales, skipped: of the step.

        Returns:
            What it found and did to the logical tensors.
        """
        rows, together = self._rows(parameters), None
        if self._ranks:
            together = partial(self._together, [self._row[id(parameter)] for parameter in parameters])
        if self._narrow:
            scales = self._within_range(parameters, states, scales, rows)
        scalars = StepScalars(self.step, self.mean[rows], scales, skipped)
        outcome = self.backend.sensitivity_step_(states, rule, scalars, together=together)
        if self._ranks:
            # Of all tensors: one may have a gradient in another process alone.
            outcome, rows = add_up_outcome(self._ranks, outcome, rows, len(self.parameters)), slice(None)
        self.change[rows] += outcome.change
        self.mean[rows] = self.backend.next_means(outcome, self.mean[rows])
        return outcome

    def _within_range(
        self,
        parameters: Sequence[Tensor],
        states: Sequence[SensitivityState],
        scales: Tensor,
        rows: Tensor | slice,
    ) -> Tensor:
        """The scales; 0 for a float16 tensor whose largest weight and noise leave its range together."""
        largest = [
            torch.linalg.vector_norm(state.weight.detach(), torch.inf).to(torch.float32)
            if self._row[id(parameter)] in self._narrow and state.weight.numel()
            else torch.zeros((), device=self.device)
            for parameter, state in zip(parameters, states, strict=True)
        ]
        limit = torch.finfo(torch.float16).max
        reach = torch.stack(largest) if largest else torch.zeros(0, device=self.device)
        beyond = (reach > 0.0) & (reach + 0.5 * scales > limit)
        if self._ranks:
            every = torch.zeros(len(self.parameters), 1, dtype=torch.int64, device=self.device)
            every[rows, 0] = beyond.to(torch.int64)
            beyond = self._ranks.add_up(every)[rows, 0] > 0
        self.kept_out[rows] |= beyond
        return torch.where(beyond, 0.0, scales)

    def _together(self, rows: Sequence[int], sums: list[Moments]) -> list[Moments]:
        """Sums over logical tensors, two for each of these rows, of those over the parts that lie here."""
        every = [Moments()] * (2 * len(self.parameters))
        places = [2 * row + part for row in rows for part in range(2)]
        for place, one in zip(places, sums, strict=True):
            every[place] = one
        found = add_up_moments(self._pairs, every)
        return [found[place] for place in places]

    def write(self) -> None:
        """Write everything to the optimizer's groups, unless another state was loaded there meanwhile."""
        if not self._written and not self._is_outdated():
            rows = zip(self.parameters, self.mean.tolist(), self.change.tolist(), strict=True)
            self._groups.write(int(self.step), rows, given=self.given.tolist())
        self._written = True

    def _is_outdated(self) -> bool:
        held = self._groups.held()  # more of them where groups were added: what is here stays true
        if not self._source or len(held) < len(self._source):
            return True
        return any(a is not b for a, b in zip(held, self._source, strict=False))

    def _read(self) -> None:
        """Take what the groups hold: at first, and after another state was loaded."""
        owners = self._groups.index()
        mine = [owners[key] for key in self.parameters]
        self.step = torch.tensor(self._groups.step, dtype=torch.int64).to(self.device)
        self.mean = self.numbers([owner.mean for owner in mine])
        changes = [astuple(owner.change) for owner in mine]
        self.change = torch.tensor(changes, dtype=torch.float64).view(-1, 4).to(self.device)
        self.given = torch.tensor(self._groups.given(), dtype=torch.float64).to(self.device)
        self._source = self._groups.held()

    def _rows(self, parameters: Sequence[Tensor]) -> Tensor | slice:
        """Where these tensors stand; nearly always all of them, in order."""
        found = [self._row[id(parameter)] for parameter in parameters]
        if found == list(range(len(self.parameters))):
            return slice(None)
        return torch.tensor(found, dtype=torch.int64).to(self.device, non_blocking=True)


def keep_shared_mean(tallies: Sequence[Tally], outcomes: Sequence[SensitivityOutcome]) -> None:
    """Keep one m for all tensors of all devices: that of their sums together."""
    home = tallies[0].device
    together = SensitivityOutcome(
        total=torch.stack([row.total.sum(0).to(home) for row in outcomes]).sum(0, keepdim=True),
        active=torch.stack([row.active.sum(0).to(home) for row in outcomes]).sum(0, keepdim=True),
        change=torch.zeros(1, 4, dtype=torch.float64, device=home),
    )
    for tally in tallies:
        tally.mean[:] = tallies[0].backend.next_means(together, tallies[0].mean[:1]).to(tally.device)
