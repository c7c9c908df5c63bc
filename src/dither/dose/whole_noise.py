"""The whole noise of a run on a model's weights, as it is when all steps are made."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dither.core.draws import stream_key
from dither.core.kernels import perturb_
from dither.core.names import NamedParameter, named_parameters
from dither.core.noise import Noise
from dither.core.passes import device_of, on_device, undisturbed
from dither.core.sharding import is_sharded
from dither.core.statistics import float32
from dither.core.undoing import values_kept
from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.targets import TRAINING_DTYPES, Target

Batch = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Inputs of a model, or parts of one size of them."""

_FAMILY = "dose"  # of the draws: no run's seed gives them, since runs draw as their method


class Part:
    """The whole noise of one tensor."""

    def __init__(self, row: Target, method: NoisyTune | PATS, std: float, weight: Tensor | None = None):
        self.parameter, self.name = row.named.parameter, row.named.name
        self._weight = weight
        if isinstance(method, NoisyTune):
            self._noise = method.noise(self.name, strength=row.strength, std=std, seed=0, step=0)
        else:
            self._noise = Noise(key=(0, 0), scale=float32(row.strength * std), keep_zeros=True)

    @property
    def squares(self) -> float:
        """Expected sum of squares of the noise."""
        with torch.no_grad():
            there = torch.ones_like(self.parameter, dtype=torch.bool)
            if self._noise.keep_zeros:
                there = self.parameter != 0
            weights = there if self._weight is None else self._weight.double().square_().mul_(there)
            return float(weights.sum()) * self._noise.scale**2 / 12.0

    def add(self, seed: int, draw: int) -> None:
        """Add a draw to the tensor, in place."""
        noise = replace(self._noise, key=stream_key(seed, _FAMILY, self.name), step=draw)
        if self._weight is None:
            perturb_([self.parameter], [noise])
            return
        with torch.no_grad():
            # On zeros the writer leaves u · scale, which the weights r then multiply, as in a step.
            added = torch.zeros(self.parameter.shape, dtype=torch.float32, device=self.parameter.device)
            perturb_([added], [replace(noise, keep_zeros=False)])
            added.mul_(self._weight).masked_fill_(self.parameter == 0, 0.0)
            self.parameter.copy_(self.parameter + added)


class WholeNoise:
    """All that a run of a method adds to the weights."""

    def __init__(
        self, recipe: Mapping[str, Any], parts: Sequence[Part], skipped: Sequence[Target], size: int
    ) -> None:
        self.recipe, self.parts, self.skipped = recipe, parts, skipped
        squares = math.fsum(part.squares for part in parts)
        self.energy = math.sqrt(squares / size) if size else 0.0

    @contextmanager
    def added(self, seed: int, draw: int) -> Iterator[None]:
        """A draw on the weights for the length of a block; then the kept weights are copied back."""
        with values_kept([part.parameter for part in self.parts]):
            for part in self.parts:
                part.add(seed, draw)
            yield


def gradients(
    model: nn.Module,
    parameters: Sequence[Tensor],
    batches: Sequence[Batch],
) -> Iterator[Sequence[Tensor | None]]:
    """The gradient of each batch's loss, at frozen weights in evaluation mode; `.grad` is not touched.

    Of a batch in parts it is the mean of the parts' gradients, one part in memory at a time.
    """
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    device = device_of(model)
    for number, batch in enumerate(batches):
        parts = [batch] if isinstance(batch, Mapping) else batch
        total: list[Tensor | None] = [None] * len(parameters)
        for part in parts:
            with undisturbed(model), torch.enable_grad():
                output = model(**on_device(part, device))
                loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
                loss = _checked(loss, number) / len(parts)
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            total = [_sum(known, new) for known, new in zip(total, found, strict=True)]
        yield total


def _sum(known: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if known is None else known if new is None else known.add_(new)


def _checked(loss: Any, number: int) -> Tensor:
    if not isinstance(loss, Tensor):
        raise ValueError(
            f"batch {number} gives no loss, which sensitivity is the gradient of; give sensitivity_batches= "
            "with labels, to a model that returns an object or a dict with the loss in it"
        )
    if not bool(torch.isfinite(loss)):
        raise ValueError(
            f"the loss of batch {number} is {float(loss.detach())}; leave the batch out or repair its rows"
        )
    if not loss.requires_grad:
        raise ValueError(
            f"the loss of batch {number} depends on no parameter that is trained; set requires_grad of some"
        )
    return loss


def share_of_dose(method: PATS, total_steps: int | None) -> float:
    """sqrt(Σ c_t²) of a run: 1 but for per_step, and for start and stop under the rule "linear"."""
    if method.is_normalised or (not method.per_step and method.start == 1 and method.stop is None):
        return 1.0
    if total_steps is None:
        named = "per_step" if method.per_step else "start and stop"
        raise ValueError(
            f"PATS with {named} gives a share of its dose that depends on the length of the run; pass "
            "total_steps=, the number of optimizer steps"
        )
    steps = torch.arange(1, total_steps + 1)
    squares = (1.0 - (steps - 1).double() / total_steps).square()
    noised = float((squares * method.adds_noise_at(steps)).sum())
    return math.sqrt(noised if method.per_step else noised * method.every / float(squares.sum()))


def whole_parameters(model: nn.Module) -> list[NamedParameter]:
    """The parameters that can be noised: floating point, each tied one once."""
    rows = [row for row in named_parameters(model) if row.tied_to is None]
    for row in rows:
        if is_sharded(row.parameter):
            raise ValueError(
                f"parameter {row.path!r} is sharded (DTensor); measure the dose before fully_shard, on the "
                "model in one process"
            )
    return [row for row in rows if row.parameter.dtype in TRAINING_DTYPES and not row.parameter.is_quantized]
