"""Noise on a live model during training: after each step of any torch optimizer but LBFGS.

The hook runs after the step: gradients are unscaled there, closures have run, and replicas hold the same
gradient. The moving average lives in `optimizer.state[p]` and the scalars under a `dither` key of each
parameter group, so they travel with every kind of checkpoint.
"""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dither.core.draws import check_seed, stream_key
from dither.core.kernels import backend_names
from dither.core.noise import SensitivityOutcome, SensitivityState
from dither.core.schedules import dose_factor
from dither.groups import GroupState, GroupStates, Tally, keep_shared_mean
from dither.methods.pats import PATS
from dither.methods.settings import recipe_hash
from dither.methods.targets import Target, finite_moments, optimizer_targets
from dither.optimizers import (
    base_optimizer,
    is_dummy_step,
    refuse_overwritten_gradients,
    skipped_flag,
)
from dither.record import Record, TensorRecord

logger = logging.getLogger("dither")

AVERAGE = "dither_sensitivity"
"""The key of the moving average in `optimizer.state[p]`."""

_HANDLE = "_dither_handle"


def attach(
    method: PATS,
    optimizer: Optimizer,
    model: nn.Module,
    *,
    total_steps: int | None = None,
    seed: int | None = None,
    reset: bool = False,
) -> "Handle":
    """Let a method add its noise after each step of an optimizer.

    Attaching again replaces, never doubles. State that came with a loaded checkpoint is continued.

    Args:
        method: `dither.PATS(...)`.
        optimizer: any torch optimizer but LBFGS; wrappers that hold theirs as `.optimizer` are unwrapped.
        model: whose parameters the optimizer steps.
        total_steps: T, the optimizer steps of the whole run, > 0; required unless `per_step=True`.
        seed: for a method whose own seed is None; None means 0.
        reset: forget the state that is there and start at step 0.

    Returns:
        The handle: `record()`, `detach()`.

    Raises:
        ValueError: an optimizer that cannot be served, total_steps missing, parameters of another model,
            sparse gradients, or state of another recipe.

    Example:
        >>> model = nn.Linear(4, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> handle = attach(PATS(seed=0), optimizer, model, total_steps=10)
        >>> for _ in range(10):
        ...     model(torch.ones(2, 4)).square().sum().backward()
        ...     optimizer.step()
        >>> handle.step
        10
        >>> handle.detach()
    """
    if not isinstance(method, PATS):
        what = f"the class {method.__name__}" if isinstance(method, type) else f"a {type(method).__name__}"
        raise TypeError(
            f"attach() takes a dither.PATS(...) first, then the optimizer and the model, not {what}; "
            "NoisyTune works before training: dither.apply_(model, method)"
        )
    own_seed = method.seed if method.seed is not None else seed
    inner = base_optimizer(optimizer)
    handle = Handle(method, inner, model, total_steps, check_seed(0 if own_seed is None else own_seed))
    handle.adopt(reset=reset)
    return handle


class Handle:
    """A method attached to an optimizer; made by `attach`."""

    def __init__(
        self, method: PATS, optimizer: Optimizer, model: nn.Module, total_steps: int | None, seed: int
    ) -> None:
        if not method.per_step and (type(total_steps) is not int or total_steps < 1):
            raise ValueError(
                f"total_steps is {total_steps!r}; PATS needs the number of optimizer steps of the whole run, "
                "> 0, since noise_lambda is the dose of the run: attach(..., total_steps=1000), or "
                "PATS(per_step=True) for a dose per step"
            )
        refuse_overwritten_gradients(optimizer)
        self.method = method
        self.optimizer = optimizer
        self.seed = seed
        self.total_steps = None if method.per_step else total_steps
        self.recipe = method.recipe(seed)
        self.recipe_hash = recipe_hash(self.recipe)
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self._rows = optimizer_targets(model, method, held)
        self._targets = {id(row.named.parameter): row for row in self._rows if row.reason is None}
        self._keys = {
            key: stream_key(seed, method.family, row.named.name) for key, row in self._targets.items()
        }
        self._groups = GroupStates(optimizer, self.recipe_hash)
        self._tallies: list[Tally] = []
        self._hooks: list[Any] = []
        self._steps_seen = 0

    def adopt(self, *, reset: bool) -> None:
        """Take the state that is there or start afresh, replace an earlier handle, and listen."""
        earlier = getattr(self.optimizer, _HANDLE, None)
        if earlier is not None:
            earlier._write()
        if not self._groups.found(reset=reset):
            self._groups.create(self._spreads(), self.method.lr_max)
        self._groups.forget_constants(self._targets)
        self._steps_seen = self._groups.step
        if earlier is not None:
            earlier.detach()
        if reset:
            for state in self.optimizer.state.values():
                state.pop(AVERAGE, None)
        self._hooks = [
            self.optimizer.register_step_post_hook(self._after_step),
            self.optimizer.register_state_dict_pre_hook(lambda _: self._write()),
        ]
        setattr(self.optimizer, _HANDLE, self)  # a name of ours on an object of torch's

    @property
    def step(self) -> int:
        """How many optimizer steps were counted: those with gradients that were not skipped."""
        self._write()
        return self._groups.step

    def detach(self) -> None:
        """Stop adding noise. The state stays where it is; attaching again continues it."""
        self._write()
        while self._hooks:
            self._hooks.pop().remove()
        if getattr(self.optimizer, _HANDLE, None) is self:
            delattr(self.optimizer, _HANDLE)

    def record(self) -> Record:
        """Every tensor accounted for, with the noise of all steps so far, those before a resume too."""
        steps, index = self.step, self._groups.index()
        return Record(
            recipe=self.recipe | {"total_steps": self.total_steps},
            recipe_hash=self.recipe_hash,
            backend=backend_names([row.named.parameter for row in self._rows]),
            threads=torch.get_num_threads(),
            tensors=tuple(self._tensor_record(row, index) for row in self._rows),
            steps=steps,
        )

    def _tensor_record(self, row: Target, index: dict[int, GroupState]) -> TensorRecord:
        key = id(row.named.parameter)
        std = index[key].std if row.reason is None else None
        reason = row.reason or ("constant" if key not in self._targets else None)
        blank = TensorRecord.of(row, reason, std=std)
        return blank if reason else blank.with_change(index[key].change, row.named.parameter.numel())

    def _spreads(self) -> dict[int, float]:
        """std(W_0) of each target."""
        found = finite_moments(list(self._targets.values()))
        return {key: moment.std for key, moment in zip(self._targets, found, strict=True)}

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """The optimizer's step hook: count the step if it was one, then measure and add noise."""
        work = self._gradients()
        skipped = skipped_flag(optimizer)
        if not work or (skipped is not None and not skipped.is_cuda and bool(skipped)):
            return
        dummy = is_dummy_step(optimizer, [gradient for _, gradient in work])
        work = [(row, gradient) for row, gradient in work if id(row.named.parameter) in self._targets]
        if dummy:  # what loads a distributed checkpoint looks here for the tensors to be filled
            for row, _ in work:
                self._average(row.named.parameter)
            return
        tallies = self._current_tallies()
        if not tallies:  # every tensor is left alone: the steps count all the same
            self._groups.write(self._groups.step + 1, {})
        outcomes = [self._step_on(tally, work, skipped) for tally in tallies]
        if self.method.across == "model" and outcomes:
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
        step, owners = tally.begin(flag), self._groups.index()
        mine = [(row, gradient) for row, gradient in work if row.named.parameter.device == tally.device]
        states = [self._state(row, gradient) for row, gradient in mine]
        scales = tally.numbers([self._scale(row, owners[id(row.named.parameter)]) for row, _ in mine])
        scales *= self.method.adds_noise_at(step)
        return tally.sensitivity_step_(states, self.method.rule, scales, flag)

    def _current_tallies(self) -> list[Tally]:
        """One for each device that holds a target; made anew when the model was moved."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for row in self._targets.values():
            by_device.setdefault(row.named.parameter.device, []).append(row.named.parameter)
        if [tally.device for tally in self._tallies] != list(by_device):
            self._write()
            self._tallies = [Tally(self._groups, parameters) for parameters in by_device.values()]
        return self._tallies

    def _write(self) -> None:
        """Write what is still on a device to the optimizer's groups."""
        for tally in self._tallies:
            tally.write()

    def _warn_beyond_plan(self, waits: bool) -> None:
        """Say once that the run is longer than planned; where asking would wait, skipped steps count."""
        self._steps_seen = self._steps_seen + 1 if waits else self._groups.step
        if self.total_steps is not None and self._steps_seen == self.total_steps + 1:
            logger.warning(
                "PATS: step %d of a run that was planned for %d optimizer steps; noise_lambda is no longer "
                "the dose of the whole run (total_steps counts optimizer steps, not batches)",
                self._steps_seen,
                self.total_steps,
            )

    def _gradients(self) -> list[tuple[Target, Tensor]]:
        """The optimizer's parameters that have a gradient, with it."""
        found, held = [], self._groups.index()
        for row in self._rows:
            gradient = row.named.parameter.grad
            if gradient is None or row.named.tied_to is not None or id(row.named.parameter) not in held:
                continue
            if gradient.is_sparse and id(row.named.parameter) in self._targets:
                raise ValueError(
                    f"the gradient of {row.named.path!r} is sparse, and PATS needs dense ones; build the "
                    f"embedding with sparse=False, or leave it out with exclude={row.named.name!r}"
                )
            found.append((row, gradient))
        return found

    def _state(self, row: Target, gradient: Tensor) -> SensitivityState:
        parameter, key = row.named.parameter, self._keys[id(row.named.parameter)]
        return SensitivityState(parameter, gradient, self._average(parameter), key, self.method.rounding)

    def _average(self, parameter: Tensor) -> Tensor:
        """The moving average of a parameter, made where there is none."""
        state = self.optimizer.state[parameter]
        # A pure half-precision parameter keeps a half-precision average: loading would cast it anyhow.
        wide = parameter.dtype in (torch.float32, torch.float64)
        dtype = getattr(torch, self.method.average) if wide else parameter.dtype
        if AVERAGE not in state:
            state[AVERAGE] = torch.zeros_like(parameter, dtype=dtype, memory_format=torch.preserve_format)
        elif (
            state[AVERAGE].dtype != dtype
        ):  # loading cast it to the parameter's dtype, which holds it exactly
            state[AVERAGE] = state[AVERAGE].to(dtype)
        return state[AVERAGE]

    def _scale(self, row: Target, owner: GroupState) -> float:
        factor = dose_factor(owner.lr, owner.lr_max, total_steps=self.total_steps, every=self.method.every)
        return row.strength * factor * owner.std
