"""Noise on a live model during training: after each step of any torch optimizer but LBFGS.

The hook runs after the step: gradients are unscaled there, closures have run, and replicas hold the same
gradient. The moving average lives in `optimizer.state[p]` and the scalars under a `dither` key of each
parameter group, so they travel with every kind of checkpoint.
"""

import logging
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from dither.core.kernels import backend_names
from dither.methods.pats import PATS
from dither.methods.settings import recipe_hash, seed_of
from dither.methods.targets import Target, finite_moments, optimizer_targets
from dither.record import Record, TensorRecord
from dither.steps import AVERAGE, GroupState, GroupStates, StepNoise
from dither.steps.optimizers import (
    base_optimizer,
    refuse_overwritten_gradients,
    steps_made,
)

logger = logging.getLogger("dither")

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
    inner = base_optimizer(optimizer)
    handle = Handle(method, inner, model, total_steps, seed_of(method, seed))
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
        self._groups = GroupStates(optimizer, self.recipe_hash)
        self._noise = StepNoise(
            method, optimizer, self._rows, self._groups, total_steps=self.total_steps, seed=seed
        )
        self._hooks: list[Any] = []

    def adopt(self, *, reset: bool) -> None:
        """Take the state that is there or start afresh, replace an earlier handle, and listen."""
        earlier = getattr(self.optimizer, _HANDLE, None)
        if earlier is not None:
            earlier._noise.write()
        if not self._groups.found(reset=reset):
            if not reset and (steps := steps_made(self.optimizer)):
                logger.warning(
                    "PATS starts at step 0 on an optimizer that has made %d steps; to go on with a saved run "
                    "attach before you load its state into the optimizer",
                    steps,
                )
            self._groups.create(self._spreads(), self.method.lr_max)
        self._noise.begin()
        if earlier is not None:
            earlier.detach()
        if reset:
            for state in self.optimizer.state.values():
                state.pop(AVERAGE, None)
        self._hooks = [
            self.optimizer.register_step_post_hook(lambda *_: self._noise.add()),
            self.optimizer.register_state_dict_pre_hook(lambda *_: self._noise.write()),
        ]
        setattr(self.optimizer, _HANDLE, self)  # a name of ours on an object of torch's

    @property
    def step(self) -> int:
        """How many optimizer steps were counted: those with gradients that were not skipped."""
        self._noise.write()
        return self._groups.step

    def detach(self) -> None:
        """Stop adding noise. The state stays where it is; attaching again continues it."""
        self._noise.write()
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
        reason = row.reason or ("constant" if key not in self._noise.targets else None)
        blank = TensorRecord.of(row, reason, std=std)
        return blank if reason else blank.with_change(index[key].change, row.named.parameter.numel())

    def _spreads(self) -> dict[int, float]:
        """std(W_0) of each target."""
        found = finite_moments(list(self._noise.targets.values()))
        return {key: moment.std for key, moment in zip(self._noise.targets, found, strict=True)}
