"""Noise on a live model before training: once, and with exact undo.

Everything is planned, validated and measured before the first weight is written.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dither.core.kernels import backend_names
from dither.core.logical import moments, perturb_
from dither.core.memory import overwrite
from dither.core.noise import Change, Noise
from dither.core.sharding import reshard
from dither.core.statistics import Moments
from dither.core.undoing import insist
from dither.marks import Mark, ModelMarks
from dither.methods.noisytune import NoisyTune
from dither.methods.plain import Plain
from dither.methods.settings import recipe_hash, seed_of
from dither.methods.targets import (
    Target,
    finite_moments,
    may_overflow,
    refuse_infinite_scales,
    refuse_overflow,
    targets,
)
from dither.record import Record, TensorRecord

logger = logging.getLogger("dither")


def noisytune_(
    model: nn.Module, noise_lambda: Any = 0.15, seed: int = 0, *, again: bool = False, **settings: Any
) -> Record:
    """Add NoisyTune's noise to every weight tensor of a model, in place, once.

        W ← W + std(W) · U(−λ/2, λ/2)

    Args:
        model: any torch module; wrapped or not gives the same noise.
        noise_lambda: λ >= 0, or a map of glob patterns to values.
        seed: in [0, 2^64).
        again: noise a model that was noised before, with fresh draws.
        **settings: the other settings of `dither.NoisyTune`.

    Returns:
        The Record: every tensor, noised or skipped and why. The same recipe a second time does nothing and
        says so in `record.message`.

    Raises:
        ValueError: a setting out of range, weights that are not finite, or a model noised before by
            another recipe.

    Example:
        >>> import torch
        >>> record = noisytune_(torch.nn.Linear(16, 4), noise_lambda=0.15, seed=0)
        >>> record.counts()
        {'noised': 2, 'skipped': 0}

    Reference:
        Wu et al., ACL 2022, https://doi.org/10.18653/v1/2022.acl-short.76
    """
    return apply_(model, NoisyTune(noise_lambda=noise_lambda, seed=seed, **settings), again=again)


def apply_(
    model: nn.Module, method: NoisyTune | Plain, *, seed: int | None = None, again: bool = False
) -> Record:
    """Apply a method that works before training to a model, in place.

    Args:
        model: any torch module.
        method: `dither.NoisyTune(...)` or plain.
        seed: for a method whose own seed is None; None means 0.
        again: see `noisytune_`.

    Returns:
        The Record.
    """
    plan = Plan(model, method, seed)
    marks = ModelMarks(model)
    if (message := marks.check(plan.mark, again=again, parameters=plan.meant)) is not None:
        logger.warning(message)
        return plan.record(message=message)
    plan.measure()
    return plan.write(marks)


@contextmanager
def perturbed(model: nn.Module, method: NoisyTune | Plain, *, seed: int | None = None) -> Iterator[Record]:
    """Noise a model for the length of a `with` block; afterwards its weights are what they were, bit for bit.

    Undo copies the kept weights back, never subtracts, and happens on exceptions, too. It needs memory for
    one copy of the noised tensors.

    Args:
        model: any torch module, noised before or not.
        method: `dither.NoisyTune(...)` or plain.
        seed: for a method whose own seed is None; None means 0.

    Yields:
        The Record.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(4, 4)
        >>> before = net.weight.clone()
        >>> with perturbed(net, NoisyTune(noise_lambda=0.15, seed=0)):
        ...     assert not torch.equal(net.weight, before)
        >>> torch.equal(net.weight, before)
        True
    """
    plan = Plan(model, method, seed)
    marks = ModelMarks(model)
    marks.check(plan.mark, again=True)
    plan.measure()
    undo = Undo(model, plan, marks)
    try:
        try:
            yield plan.write(marks)
        finally:
            insist(undo.undo)
    finally:  # an interrupt may have fallen before or between its tries
        insist(undo.undo)


class Undo:
    """Takes the noise of a block back, from copies, also where a parameter was replaced by another.

    Args:
        model: whose weights will be noised.
        plan: measured.
        marks: of the model.
    """

    def __init__(self, model: nn.Module, plan: "Plan", marks: ModelMarks) -> None:
        self._model, self._mark, self._parameters = model, plan.mark, plan.parameters
        self._marks = marks.kept()
        copies = {row.named.name: row.named.parameter.detach().clone() for row in plan.noised}
        owners = [(row.named, row.named.tied_to or row.named.name) for row in plan.rows]
        self._kept = [
            (named.path, named.parameter, copies[owner]) for named, owner in owners if owner in copies
        ]
        self._done = False

    def undo(self) -> None:
        """Do it, once; may be called again after an interrupt.

        Raises:
            RuntimeError: some parameters could not be put back: the model stays marked as partly noised.
        """
        if self._done:
            return
        self._marks.begin(self._mark, self._parameters)
        reshard(self._model)
        now = dict(self._model.named_parameters(remove_duplicate=False))
        still_there = {id(parameter) for parameter in now.values()}
        left: list[str] = []
        for path, parameter, copy in self._kept:
            problem = _put_back(path, parameter, copy)
            other = now.get(path, parameter)
            if other is not parameter:
                problem = _put_back(path, other, copy)
                if problem is None:
                    said = "parameter %r was replaced in the block: the new one got the old values"
                    logger.warning(said, path)
            elif id(parameter) not in still_there:
                problem = f"{path!r} is no longer in the model"
            if problem is not None:
                left.append(problem)
        if left:
            self._done = True  # as far as it can be
            raise RuntimeError(
                f"the noise of {len(left)} parameters could not be taken back: {'; '.join(left)}; the model "
                "is marked as partly noised: build it anew and load its weights afresh"
            )
        self._marks.put_back()
        self._done = True


def _put_back(path: str, parameter: Tensor, copy: Tensor) -> str | None:
    """Put the kept values into a parameter; returns why that cannot be, or None."""
    if parameter.shape != copy.shape:
        return f"{path!r} had shape {tuple(copy.shape)} and has {tuple(parameter.shape)} now"
    overwrite(parameter, copy)
    return None


class Plan:
    """What applying a method will do to a model: made first, measured next, written last."""

    def __init__(self, model: nn.Module, method: NoisyTune | Plain, seed: int | None) -> None:
        if not isinstance(method, NoisyTune | Plain):
            raise TypeError(
                f"method is {method!r}; before training dither.NoisyTune(...) works, or plain; for "
                "dither.PATS(...) use dither.attach(method, optimizer, model, total_steps=...)"
            )
        self.method = method
        self.seed = seed_of(method, seed)
        self.rows: list[Target] = []
        self.recipe: dict[str, object] = {"method": method.family, "seed": self.seed}
        if isinstance(method, NoisyTune):
            self.recipe = method.recipe(self.seed)
            self.rows = targets(model, method)
        self.mark = Mark(recipe_hash(self.recipe), self.recipe)
        self.step = ModelMarks(model).applied
        self.stds: dict[str, float] = {}
        self.constant: set[str] = set()

    @property
    def noised(self) -> list[Target]:
        """The targets that get noise."""
        return [row for row in self.rows if row.reason is None and row.named.name not in self.constant]

    @property
    def parameters(self) -> list[Tensor]:
        """Their tensors."""
        return [row.named.parameter for row in self.noised]

    @property
    def meant(self) -> list[Tensor]:
        """The tensors that get noise unless they prove to be constant."""
        return [row.named.parameter for row in self.rows if row.reason is None]

    def measure(self) -> None:
        """Take the statistics; refuse weights that are not finite; leave constant tensors out."""
        if isinstance(self.method, NoisyTune):
            rows = self.noised
            names = [row.named.name for row in rows]
            moments_of_rows = finite_moments(rows)
            refuse_infinite_scales(rows, moments_of_rows)
            found = dict(zip(names, moments_of_rows, strict=True))
            self.stds, self.constant = self.method.spreads(found)
            self._refuse_overflow(found)

    def _refuse_overflow(self, found: Mapping[str, Moments]) -> None:
        """Refuse a tensor that its noise would take out of its dtype's range: tried out on a copy."""
        for row in self.noised:
            name, parameter = row.named.name, row.named.parameter
            noise = self.noise(row)
            if may_overflow(found[name], noise, parameter.dtype):
                copy = parameter.detach().clone()
                perturb_([copy], [noise])
                dtype = str(parameter.dtype).removeprefix("torch.")
                refuse_overflow(moments([copy])[0].nonfinite, f"tensor {name!r}", name, noise, dtype)

    def noise(self, row: Target) -> Noise:
        """The description of one tensor's noise."""
        assert isinstance(self.method, NoisyTune)
        name = row.named.name
        return self.method.noise(
            name, strength=row.strength, std=self.stds[name], seed=self.seed, step=self.step
        )

    def write(self, marks: ModelMarks) -> Record:
        """Write the noise and mark the model; a failure on the way marks it as partly noised."""
        if not self.noised:
            record = self.record()
            if self.rows and "strength 0" not in record.skipped():
                logger.warning("no tensor was noised: %s", record.summary())
            return record
        noises = [self.noise(row) for row in self.noised]
        with marks.writing(self.mark, self.meant):
            changes = perturb_(self.parameters, noises)
        return self.record(changes)

    def record(self, changes: Sequence[Change] = (), message: str = "") -> Record:
        """Account for every tensor."""
        done = {row.named.name: change for row, change in zip(self.noised, changes, strict=False)}
        return Record(
            recipe=self.recipe,
            recipe_hash=self.mark.hash,
            backend=backend_names([row.named.parameter for row in self.rows]),
            threads=torch.get_num_threads(),
            tensors=tuple(self._tensor_record(row, done.get(row.named.name), message) for row in self.rows),
            message=message,
        )

    def _tensor_record(self, row: Target, change: Change | None, message: str) -> TensorRecord:
        name, is_first = row.named.name, row.named.tied_to is None
        reason = row.reason or ("constant" if name in self.constant and is_first else None)
        reason = reason or ("not written" if message else None)
        blank = TensorRecord.of(row, reason, std=self.stds.get(name) if is_first else None)
        return blank if reason or change is None else blank.with_change(change, change.elements)
