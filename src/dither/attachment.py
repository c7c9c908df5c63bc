"""Noise on a live model during training: after each step of any torch optimizer but LBFGS.

The hook runs after the step: gradients are unscaled there, closures have run, and replicas hold the same
gradient. The moving average lives in `optimizer.state[p]` and the scalars under a `dither` key of each
parameter group, so they travel with every kind of checkpoint.
"""

import logging
from collections.abc import Sized
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from dither.core.kernels import backend_names
from dither.core.schedules import EARLIER_SCHEDULE
from dither.methods.pats import PATS
from dither.methods.settings import recipe_hash, seed_of
from dither.methods.targets import Target, finite_moments, optimizer_targets, refuse_infinite_scales
from dither.record import Record, TensorRecord
from dither.steps import AVERAGE, GroupState, GroupStates, StepNoise
from dither.steps.listener import Listener
from dither.steps.optimizers import (
    base_optimizer,
    refuse_overwritten_gradients,
    states_of,
    steps_made,
)
from dither.steps.rates import RatePlan, check_schedule, is_scheduler

logger = logging.getLogger("dither")

_HANDLE = "_dither_handle"
_NO_STEP = "no optimizer step was counted so far: nothing was noised"


def attach(
    method: PATS,
    optimizer: Optimizer,
    model: nn.Module,
    *,
    total_steps: int | None = None,
    schedule: Any = None,
    seed: int | None = None,
    reset: bool = False,
) -> "Handle":
    """Let a method add its noise after each step of an optimizer.

    Attaching again replaces, never doubles. State that came with a loaded checkpoint is continued, with the
    doses that were planned at its start.

    Args:
        method: `dither.PATS(...)`.
        optimizer: any torch optimizer but LBFGS; wrappers that hold theirs as `.optimizer` are unwrapped.
        model: whose parameters the optimizer steps.
        total_steps: T, the optimizer steps of the whole run, > 0; required unless `per_step=True` or
            `schedule` is a list.
        schedule: what tells the learning rates of the run, so that noise_lambda is the dose of the whole run:
            the scheduler, as it stands before the first step, if it is stepped after each optimizer step (a
            copy of it is stepped ahead); or lr / lr_max for each step, as a list, or as a function of the
            steps made before, as LambdaLR takes it. None for linear decay; where the learning rates turn out
            to give another dose, a warning says so once.
        seed: for a method whose own seed is None; None means 0.
        reset: forget the state that is there and start at step 0.

    Returns:
        The handle: `record()`, `detach()`.

    Raises:
        ValueError: an optimizer that cannot be served, total_steps missing, a schedule whose learning rates
            cannot be known or exceed `PATS(lr_max=...)`, parameters of another model, sparse gradients, or
            state of another recipe. `optimizer.step()` raises one where a learning rate is above the highest
            of the run, before it adds any noise.

    Example:
        >>> model = nn.Linear(4, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=10)
        >>> handle = attach(PATS(seed=0), optimizer, model, total_steps=10, schedule=scheduler)
        >>> for _ in range(10):
        ...     model(torch.ones(2, 4)).square().sum().backward()
        ...     optimizer.step()
        ...     scheduler.step()
        >>> handle.step, round(handle.record().dose_given, 6)
        (10, 1.0)
        >>> handle.detach()
    """
    if not isinstance(method, PATS):
        what = f"the class {method.__name__}" if isinstance(method, type) else f"a {type(method).__name__}"
        raise TypeError(
            f"attach() takes a dither.PATS(...) first, then the optimizer and the model, not {what}; "
            "NoisyTune works before training: dither.apply_(model, method)"
        )
    check_schedule(schedule)
    if schedule is not None and not method.is_normalised:
        rule = "per_step=True" if method.per_step else f"schedule={method.schedule!r}"
        raise ValueError(f"PATS({rule}) does not look at the learning rates to come; leave schedule= out")
    inner = base_optimizer(optimizer)
    if total_steps is None and isinstance(schedule, Sized) and not is_scheduler(schedule):
        total_steps = len(schedule)
    handle = Handle(method, inner, model, total_steps, seed_of(method, seed))
    handle.adopt(schedule, reset=reset)
    return handle


class Handle:
    """A method attached to an optimizer; made by `attach`."""

    def __init__(
        self, method: PATS, optimizer: Optimizer, model: nn.Module, total_steps: int | None, seed: int
    ) -> None:
        whole = isinstance(total_steps, Integral) and not isinstance(total_steps, bool)
        if not method.per_step and (not whole or total_steps < 1):  # type: ignore[operator]
            raise ValueError(
                f"total_steps is {total_steps!r}; PATS needs the number of optimizer steps of the whole run, "
                "> 0, since noise_lambda is the dose of the run: attach(..., total_steps=1000), or "
                "PATS(per_step=True) for a dose per step"
            )
        refuse_overwritten_gradients(optimizer)
        self.method = method
        self.optimizer = optimizer
        self.seed = seed
        self.total_steps = None if method.per_step or total_steps is None else int(total_steps)
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self._rows = optimizer_targets(model, method, held)
        self._recipe = method.recipe(seed)
        self._earlier = replace(method, schedule=EARLIER_SCHEDULE).recipe(seed)
        self._groups = GroupStates(optimizer, recipe_hash(self._recipe), recipe_hash(self._earlier))
        self._noise = StepNoise(
            method, optimizer, self._rows, self._groups, total_steps=self.total_steps, seed=seed
        )
        self._listener: Listener | None = None

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Handle cannot be copied or pickled: it listens to one optimizer in this process. Keep "
            "optimizer.state_dict(), which holds all that PATS knows, and call dither.attach again"
        )

    def adopt(self, schedule: Any, *, reset: bool) -> None:
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
            self._groups.create(self._spreads(), self.method.lr_max, self._plan(schedule))
        elif (first := self._groups.first_added) < len(self.optimizer.param_groups):
            plan = self._plan(schedule, made=self._groups.made)
            self._groups.create(self._spreads(first), self.method.lr_max, plan, first=first)
        self._noise.begin()
        if earlier is not None:
            earlier._stop()
        if reset:
            for state in states_of(self.optimizer):
                state.pop(AVERAGE, None)
        noise = self._noise
        self._listener = Listener(
            self.optimizer, before=noise.before, after=noise.add, write=noise.write, own=(_HANDLE,)
        )
        setattr(self.optimizer, _HANDLE, self)  # a name of ours on an object of torch's
        self._say_if_nothing_is_noised()

    @property
    def recipe(self) -> dict[str, object]:
        """Everything that determines the noise, but for the steps and learning rates of the run."""
        return self._earlier if self._groups.is_earlier else self._recipe

    @property
    def recipe_hash(self) -> str:
        """Its hash, as it stands in the optimizer's state."""
        return recipe_hash(self.recipe)

    @property
    def is_outgrown(self) -> bool:
        """Whether parameter groups were added since: attaching again takes them up."""
        return 0 < self._groups.first_added < len(self.optimizer.param_groups)

    @property
    def step(self) -> int:
        """How many optimizer steps were counted: those with gradients that were not skipped."""
        self._noise.write()
        return self._groups.step

    def detach(self) -> None:
        """Stop adding noise. The state stays where it is; attaching again continues it.

        A warning says so where no step was counted, or where the steps so far gave another dose than planned.
        """
        try:
            self._noise.write()
        finally:
            listened = self._stop()
        if listened:
            self._noise.notices.end()

    def _stop(self) -> bool:
        """Listen no more; returns whether it did."""
        listener, self._listener = self._listener, None
        if getattr(self.optimizer, _HANDLE, None) is self:
            delattr(self.optimizer, _HANDLE)
        return listener is not None and listener.stop()

    def record(self) -> Record:
        """Every tensor accounted for, with the noise of all steps so far, those before a resume too."""
        steps, index = self.step, self._groups.index()
        tensors = tuple(self._tensor_record(row, index) for row in self._rows)
        run: dict[str, object] = {"total_steps": self._groups.planned_steps or self.total_steps}
        if None not in self._groups.factors:
            run["factors"] = self._groups.factors
        return Record(
            recipe=self.recipe | run,
            recipe_hash=self.recipe_hash,
            backend=backend_names([row.named.parameter for row in self._rows]),
            threads=torch.get_num_threads(),
            tensors=tensors,
            steps=steps,
            dose_given=self._dose_given(index),
            message=self._noise.notices.message if steps else _NO_STEP,
        )

    def _dose_given(self, index: dict[int, GroupState]) -> float | None:
        """Σ c² so far: the mean over the elements of the noised tensors, whose groups may differ."""
        noised = [row.named.parameter for row in self._rows if self._reason(row, index) is None]
        elements = sum(parameter.numel() for parameter in noised)
        if None in self._groups.factors or not elements:
            return None
        given = self._groups.given()
        return sum(given[index[id(one)].number] * one.numel() for one in noised) / elements

    def _tensor_record(self, row: Target, index: dict[int, GroupState]) -> TensorRecord:
        key, reason = id(row.named.parameter), self._reason(row, index)
        blank = TensorRecord.of(row, reason, std=index[key].std if row.reason is None else None)
        return blank if reason else blank.with_change(index[key].change, row.named.parameter.numel())

    def _reason(self, row: Target, index: dict[int, GroupState]) -> str | None:
        """Why a tensor gets no noise as things stand: it may be unfrozen later, or a state be loaded."""
        parameter = row.named.parameter
        if row.reason is None and id(parameter) not in self._noise.targets:
            return "constant"
        if row.reason is None and not parameter.requires_grad and not index[id(parameter)].change.elements:
            return "frozen"
        return row.reason

    def _plan(self, schedule: Any, *, made: int = 0) -> RatePlan | None:
        """The learning rates to come after the steps that were made, where the doses follow from them."""
        total = self._groups.planned_steps if made else self.total_steps
        if total is None or not self.method.is_normalised:
            return None
        return RatePlan.of(schedule, self.optimizer, total, self.method.noise_steps(total), made=made)

    def _spreads(self, first: int = 0) -> dict[int, float]:
        """std(W_0) of each candidate in the groups from the `first` on."""
        groups = self.optimizer.param_groups[first:]
        held = {id(parameter) for group in groups for parameter in group["params"]}
        rows = [row for key, row in self._noise.candidates.items() if key in held]
        found = finite_moments(rows)
        refuse_infinite_scales(rows, found)
        return {id(row.named.parameter): one.std for row, one in zip(rows, found, strict=True)}

    def _say_if_nothing_is_noised(self) -> None:
        record = self.record()
        if not record.counts()["noised"] and "strength 0" not in record.skipped():
            logger.warning("PATS: no tensor will be noised: %s", record.summary())
