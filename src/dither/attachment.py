"""Noise on a live model during training: after each step of any torch optimizer but LBFGS.

The hook runs after the step: gradients are unscaled there, closures have run, and replicas hold the same
gradient. The moving average lives in `optimizer.state[p]` and the scalars under a `dither` key of each
parameter group, so they travel with every kind of checkpoint.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dither.core.draws import check_seed, stream_key
from dither.core.kernels import backend_for
from dither.core.noise import Noise, SensitivityState
from dither.core.schedules import dose_factor
from dither.core.statistics import float32
from dither.groups import GroupState, GroupStates, keep_means
from dither.methods.pats import PATS
from dither.methods.settings import recipe_hash
from dither.methods.targets import Target, finite_moments, optimizer_targets
from dither.optimizers import (
    base_optimizer,
    is_dummy_step,
    refuse_overwritten_gradients,
    was_skipped,
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
        self._groups = GroupStates(optimizer, self.recipe_hash)
        self._hook: Any = None

    def adopt(self, *, reset: bool) -> None:
        """Take the state that is there or start afresh, replace an earlier handle, and listen."""
        if not self._groups.found(reset=reset):
            self._groups.create(self._spreads(), self.method.lr_max)
        self._groups.forget_constants(self._targets)
        earlier = getattr(self.optimizer, _HANDLE, None)
        if earlier is not None:
            earlier.detach()
        if reset:
            for state in self.optimizer.state.values():
                state.pop(AVERAGE, None)
        self._hook = self.optimizer.register_step_post_hook(self._after_step)
        setattr(self.optimizer, _HANDLE, self)  # a name of ours on an object of torch's

    @property
    def step(self) -> int:
        """How many optimizer steps were counted: those with gradients that were not skipped."""
        return self._groups.step

    def detach(self) -> None:
        """Stop adding noise. The state stays where it is; attaching again continues it."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        if getattr(self.optimizer, _HANDLE, None) is self:
            delattr(self.optimizer, _HANDLE)

    def record(self) -> Record:
        """Every tensor accounted for, with the noise of all steps so far, those before a resume too."""
        steps, index = self.step, self._groups.index()
        return Record(
            recipe=self.recipe | {"total_steps": self.total_steps},
            recipe_hash=self.recipe_hash,
            backend=backend_for(self._rows[0].named.parameter.device).NAME,
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
        rows = list(self._targets.values())
        found = finite_moments(rows, backend_for(self._rows[0].named.parameter.device))
        return {id(row.named.parameter): moment.std for row, moment in zip(rows, found, strict=True)}

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """The optimizer's step hook: count the step if it was one, then measure and add noise."""
        index = self._groups.index()
        work = self._gradients(index)
        if not work or was_skipped(optimizer):
            return
        dummy = is_dummy_step(optimizer, [gradient for _, gradient in work])
        work = [(row, gradient) for row, gradient in work if id(row.named.parameter) in self._targets]
        if dummy:  # what loads a distributed checkpoint looks here for the tensors to be filled
            for row, _ in work:
                self._average(row.named.parameter)
            return
        step = self._groups.advance()
        if self.total_steps is not None and step == self.total_steps + 1:
            logger.warning(
                "PATS: step %d of a run that was planned for %d optimizer steps; noise_lambda is no longer "
                "the dose of the whole run (total_steps counts optimizer steps, not batches)",
                step,
                self.total_steps,
            )
        if not work:
            return
        owners = [index[id(row.named.parameter)] for row, _ in work]
        jobs = zip(work, owners, strict=True)
        states = [self._state(row, gradient, owner, step) for (row, gradient), owner in jobs]
        outcomes = backend_for(states[0].weight.device).sensitivity_step_(states, self.method.rule)
        for owner, outcome in zip(owners, outcomes, strict=True):
            owner.change += outcome.change
        everyone = index.values() if self.method.across == "model" else None
        keep_means(owners, outcomes, everyone)

    def _gradients(self, index: dict[int, GroupState]) -> list[tuple[Target, Tensor]]:
        """The optimizer's parameters that have a gradient, with it."""
        found = []
        for row in self._rows:
            gradient = row.named.parameter.grad
            if gradient is None or row.named.tied_to is not None or id(row.named.parameter) not in index:
                continue
            if gradient.is_sparse and id(row.named.parameter) in self._targets:
                raise ValueError(
                    f"the gradient of {row.named.path!r} is sparse, and PATS needs dense ones; build the "
                    f"embedding with sparse=False, or leave it out with exclude={row.named.name!r}"
                )
            found.append((row, gradient))
        return found

    def _state(self, row: Target, gradient: Tensor, owner: GroupState, step: int) -> SensitivityState:
        parameter, noise = row.named.parameter, self._noise(row, owner, step)
        return SensitivityState(parameter, gradient, self._average(parameter), owner.mean, noise)

    def _average(self, parameter: Tensor) -> Tensor:
        """The moving average of a parameter, made where there is none."""
        state = self.optimizer.state[parameter]
        if AVERAGE not in state:
            # A pure half-precision parameter keeps a half-precision average: loading would cast it anyhow.
            dtype = torch.float32 if parameter.dtype == torch.float64 else parameter.dtype
            state[AVERAGE] = torch.zeros_like(parameter, dtype=dtype, memory_format=torch.preserve_format)
        return state[AVERAGE]

    def _noise(self, row: Target, owner: GroupState, step: int) -> Noise | None:
        factor = dose_factor(owner.lr, owner.lr_max, total_steps=self.total_steps, every=self.method.every)
        scale = float32(row.strength * factor * owner.std)
        if scale == 0.0 or not self.method.adds_noise_at(step):
            return None
        key = stream_key(self.seed, self.method.family, row.named.name)
        # A weight that is exactly zero says nothing, so this matters for the control `idle` alone.
        return Noise(key, scale, step=step, keep_zeros=True, rounding=self.method.rounding)
