"""Who executes the noise: one interface, compiled kernels behind it, and a reference in plain torch.

A backend is a module with the functions of `Backend`. Callers ask `backend_for(device)` and never name one.
Every backend gives the bits of the reference; they differ in speed alone.
"""

import importlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from dither.core.kernels import reference
from dither.core.memory import settled
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
    Together,
)
from dither.core.places import WHOLE, Place
from dither.core.statistics import Moments

logger = logging.getLogger("dither")

CHOICE = "DITHER_BACKEND"
"""The environment variable that asks for a backend: "auto" (the fastest there is) or "reference"."""

_MODULES = {"cpu": "dither.core.kernels.native", "cuda": "dither.core.kernels.cuda"}


class Perturb(Protocol):
    """A function that adds noise."""

    def __call__(
        self, tensors: Sequence[Tensor], noises: Sequence[Noise], *, places: Sequence[Place] | None = None
    ) -> list[Change]:
        """Add each noise to its tensor, in place; tensors may be parts of logical ones, at `places`."""


class SensitivityStep(Protocol):
    """A function that makes one training step."""

    def __call__(
        self,
        states: Sequence[SensitivityState],
        rule: SensitivityRule,
        scalars: StepScalars,
        *,
        together: Together | None = None,
    ) -> SensitivityOutcome:
        """Update the moving averages and add the noise of one training step, in place.

        Sums in the outcome are over the parts that are here; `together` is for the rules that need those of
        the logical tensors before they write. Each process calls it once, or none does.
        """


class Backend(Protocol):
    """What every backend can do. Lists come in whole, so that many small tensors need few launches."""

    @property
    def NAME(self) -> str:
        """Name, instruction set or device, and why no faster one was chosen."""

    @property
    def moments(self) -> Callable[[Sequence[Tensor]], list[Moments]]:
        """Moments of each tensor."""

    @property
    def perturb_(self) -> Perturb:
        """Adds each noise to its tensor."""

    @property
    def sensitivity_step_(self) -> SensitivityStep:
        """Makes a training step."""

    @property
    def next_means(self) -> Callable[[SensitivityOutcome, Tensor], Tensor]:
        """m for the next step: fl32(fl64(Σ e) / n) of each tensor, as before where nothing was active."""


@dataclass(frozen=True)
class Reference:
    """The reference backend, with the reason why it was chosen."""

    reason: str
    moments: Callable[[Sequence[Tensor]], list[Moments]] = reference.moments
    perturb_: Perturb = reference.perturb_
    sensitivity_step_: SensitivityStep = reference.sensitivity_step_
    next_means: Callable[[SensitivityOutcome, Tensor], Tensor] = reference.next_means

    @property
    def NAME(self) -> str:
        """The reference's name and the reason."""
        return f"{reference.NAME}: {self.reason}"


def backend_for(device: torch.device) -> Backend:
    """The fastest backend that serves a device.

    What cannot be loaded, compiled or run there is replaced by the reference, with a warning that says why;
    the reason stands in the name, and so in every Record.

    Raises:
        ValueError: the environment variable DITHER_BACKEND holds something else than auto or reference.
    """
    choice = os.environ.get(CHOICE, "auto")
    if choice not in ("auto", "reference"):
        raise ValueError(f"{CHOICE} is {choice!r}; it must be 'auto' or 'reference'")
    return Reference(f"asked for by {CHOICE}") if choice == "reference" else _fastest(device.type)


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of tensors on any devices, each by its device's backend."""
    found: dict[int, Moments] = {}
    for device, rows in _by_device(tensors).items():
        answers = backend_for(device).moments([tensors[row] for row in rows])
        found.update(zip(rows, answers, strict=True))
    return [found[row] for row in range(len(tensors))]


def perturb_(
    tensors: Sequence[Tensor], noises: Sequence[Noise], *, places: Sequence[Place] | None = None
) -> list[Change]:
    """Add each noise to its tensor, in place, each by its device's backend.

    Args:
        tensors: floating-point tensors on any devices.
        noises: one for each, of the whole logical tensor.
        places: of each in its logical tensor; None where all are whole.

    Returns:
        What changed, tensor by tensor.
    """
    places = [WHOLE] * len(tensors) if places is None else places
    found: dict[int, Change] = {}
    for device, rows in _by_device(tensors).items():
        backend = backend_for(device)
        answers = backend.perturb_(
            [tensors[row] for row in rows],
            [noises[row] for row in rows],
            places=[places[row] for row in rows],
        )
        found.update(zip(rows, answers, strict=True))
    # Backends tell autograd of what they wrote to, which may be what a tensor of another type holds.
    torch.autograd.graph.increment_version([tensor for tensor in tensors if settled(tensor) is not tensor])
    return [found[row] for row in range(len(tensors))]


def backend_names(tensors: Sequence[Tensor]) -> str:
    """The names of the backends that serve these tensors, for a Record."""
    names = dict.fromkeys(backend_for(device).NAME for device in _by_device(tensors))
    return "; ".join(names) or backend_for(torch.device("cpu")).NAME


def _by_device(tensors: Sequence[Tensor]) -> dict[torch.device, list[int]]:
    rows: dict[torch.device, list[int]] = {}
    for row, tensor in enumerate(tensors):
        rows.setdefault(tensor.device, []).append(row)
    return rows


@cache
def _fastest(device_type: str) -> Backend:
    if device_type not in _MODULES:
        return Reference(f"there are no kernels for {device_type}")
    try:
        backend = importlib.import_module(_MODULES[device_type])
        _try_out(backend, device_type)
    except Exception as problem:  # whatever a compiler or a driver may raise
        reason = " ".join(str(problem).split()) or type(problem).__name__
        logger.warning(
            "the noise will be slow on %s, in plain torch, with the same bits: %s", device_type, reason
        )
        return Reference(reason)
    return backend


def _try_out(backend: Backend, device_type: str) -> None:
    """Run each kernel once on a few numbers: one that does not compile shows before a weight is written."""
    weight, gradient, average = torch.ones(3, 8, device=device_type).unbind()
    backend.moments([weight])
    backend.perturb_([weight], [Noise((0, 0), 0.5)])
    scalars = StepScalars(torch.ones((), dtype=torch.int64, device=device_type), *weight[:2].view(2, 1))
    outcome = backend.sensitivity_step_(
        [SensitivityState(weight, gradient, average, (0, 0))], SensitivityRule(0.5, 1.0), scalars
    )
    backend.next_means(outcome, scalars.mean)
