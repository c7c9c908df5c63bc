"""After a step of the optimizer: sensitivities are measured, averages updated, noise is added."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from dither.core.draws import stream_key
from dither.core.memory import is_plainly_ordinary, values_of
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
from dither.steps.watch import Watch


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
        self.candidates = {id(row.named.parameter): row for row in rows if row.reason is None}
        self._targets: dict[int, Target] = {}
        self._source: list[object] = []
        self._method = method
        self._optimizer = optimizer
        self._groups = groups
        self._rows = rows
        self._doses = StepDoses(method, groups, total_steps)
        self.notices = Notices(method, groups, total_steps)
        self._keys = {
            key: stream_key(seed, method.family, row.named.name) for key, row in self.candidates.items()
        }
        self._places: dict[int, Place] = {}
        self._tallies: list[Tally] = []
        self._watch = Watch(())
        self._held: list[Tensor | None] = []  # gradients before a step, until it is over

    def begin(self) -> None:
        """Go on from what the optimizer's groups hold."""
        self.notices.begin()
        self._watch = Watch(list(self.targets.values()))
        if self._groups.is_fresh:
            self._watch.attach()

    @property
    def targets(self) -> dict[int, Target]:
        """The candidates whose W_0 was not constant by the state that is there; a loaded one counts."""
        held = self._groups.held()
        if len(held) != len(self._source) or any(a is not b for a, b in zip(held, self._source, strict=True)):
            constant = self._groups.constants()
            self._targets = {key: row for key, row in self.candidates.items() if key not in constant}
            self._source = held
            self._watch.restart()  # a loaded state comes with other weights
        return self._targets

    def write(self) -> None:
        """Write what is still on a device to the optimizer's groups.

        Raises:
            ValueError: a learning rate that was not read in time was above the highest of the run.
        """
        for tally in self._tallies:
            tally.write()
        self.notices.hear(self._watch.finding())
        if self._tallies and self._groups.is_there:
            self._hear_rounding()
            self._hear_range()
        self._doses.check()

    def before(self) -> None:
        """Note the gradients that the step will use: something may free them before `add`."""
        self._held = [row.named.parameter.grad for row in self._rows]
        if self.targets and self._watch.looks():
            pairs = zip(self._rows, self._held, strict=True)
            gradients = {id(row.named.parameter): one for row, one in pairs}
            self._watch.before_step(gradients, first=self._groups.is_fresh)

    def add(self) -> None:
        """Count the step if it was one, then measure and add noise."""
        work = self._gradients()
        self._held = []
        skipped = skipped_flag(self._optimizer)
        if not work:
            self.notices.no_gradient()
        if not work or (skipped is not None and not skipped.is_cuda and bool(skipped)):
            return
        dummy = is_dummy_step(self._optimizer, ((row.named.parameter, gradient) for row, gradient in work))
        targets, gradients = self.targets, {id(row.named.parameter): one for row, one in work}
        work = [(row, gradient) for row, gradient in work if id(row.named.parameter) in targets]
        if dummy:  # what loads a distributed checkpoint looks here for the tensors to be filled
            for row, _ in work:
                average_of(self._optimizer, row, self._method.average)
            return
        self._groups.check()
        self.notices.follow_state()
        doses = self._doses.of_step(self.notices.steps + 1)
        is_watched = self._watch.looks()
        if is_watched:  # GradScaler leaves its scale to a fused optimizer
            rescaled = getattr(self._optimizer, "grad_scale", None) is not None
            self._watch.after_step(gradients, rescaled=rescaled)
        else:
            self._watch.skip()
        tallies = self._current_tallies()
        if not tallies:  # every tensor is left alone: the steps count all the same
            self._groups.write(self._groups.step + 1)
        outcomes = [self._step_on(tally, work, doses, skipped) for tally in tallies]
        if self._method.across == "model" and outcomes:
            keep_shared_mean(tallies, outcomes)
        for tally in tallies:
            if not tally.waits:
                tally.write()
        waits = any(tally.waits for tally in tallies)
        self.notices.count(doses, waits=waits)
        self._watch.count()
        if not waits:
            self._hear_range()
            if self.notices.looks_at_rounding():
                self._hear_rounding()
        if is_watched:
            self._watch.after_noise()
            if self._watch.is_due() and not waits:
                self.notices.hear(self._watch.finding())

    def _hear_rounding(self) -> None:
        """Say if half precision loses the noise."""
        if self._method.rounding == "nearest" and self.notices.looks_at_rounding(late=True):
            index, halves = self._groups.index(), (torch.bfloat16, torch.float16)
            found = [(row.named.parameter.dtype, key) for key, row in self.targets.items()]
            found = [(dtype, key) for dtype, key in found if dtype in halves and key in index]
            if found:
                name = str(found[0][0]).removeprefix("torch.")
                self.notices.hear_rounding(name, [index[key].change for _, key in found])

    def _hear_range(self) -> None:
        """Say which tensors in float16 got no noise."""
        for tally in self._tallies:
            if tally.kept_out.any():
                out = [key for key, one in zip(tally.parameters, tally.kept_out.tolist(), strict=True) if one]
                self.notices.hear_range("float16", [self.candidates[key].named.name for key in out])

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
        """One for each device that holds a target; made anew for a moved model, or other targets."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for row in self.targets.values():
            by_device.setdefault(row.named.parameter.device, []).append(row.named.parameter)
        keys = [list(map(id, parameters)) for parameters in by_device.values()]
        if [tally.device for tally in self._tallies] != list(by_device) or keys != [
            tally.parameters for tally in self._tallies
        ]:
            self.write()
            self._tallies = [Tally(self._groups, parameters) for parameters in by_device.values()]
        return self._tallies

    def _gradients(self) -> list[tuple[Target, Tensor]]:
        """The optimizer's parameters that have a gradient, with it."""
        found, held, targets = [], self._groups.index(), self.targets
        kept = self._held if len(self._held) == len(self._rows) else [None] * len(self._rows)
        for row, before in zip(self._rows, kept, strict=True):
            gradient = row.named.parameter.grad
            gradient = before if gradient is None else gradient
            if gradient is None or row.named.tied_to is not None or id(row.named.parameter) not in held:
                continue
            if gradient.is_sparse and id(row.named.parameter) in targets:
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
        # One m for all tensors tells nothing of each; noise that was asked for does.
        was_active = owner.change.elements > 0 or (self._method.across == "tensor" and owner.mean > 0.0)
        average = average_of(self._optimizer, row, self._method.average, was_active=was_active)
        weight: Tensor = parameter
        if is_sharded(parameter):
            weight, average = local(parameter), local(average)
            gradient = local(aligned(gradient, parameter))
        _refuse_unlike(row, gradient, weight)
        noise = self._keys[key], self._method.rounding, self._places[key]
        return SensitivityState(weight, gradient, average, *noise)


def _refuse_unlike(row: Target, gradient: Tensor, weight: Tensor) -> None:
    """Refuse, by the parameter's name, a gradient that cannot be read or is of another shape.

    Raises:
        TypeError, ValueError: it is such a one; nothing was written.
    """
    where = f"the gradient of {row.named.path!r}"
    try:
        values = gradient if is_plainly_ordinary(gradient) else values_of(gradient)
    except TypeError as error:
        raise TypeError(f"{where} cannot be read: {error}; no noise was added") from error
    if values.shape != weight.shape:
        raise ValueError(
            f"{where} has shape {tuple(values.shape)}, the parameter {tuple(weight.shape)}; no noise was "
            "added"
        )
