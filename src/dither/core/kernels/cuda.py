"""The CUDA backend: kernels in Triton, with the bits of the reference.

Equal to the reference bit for bit, but for the Gaussian law (1e-6), an exponent other than 1 and 2 (2 units
in the last place) and the energies of a `Change` (1e-12, relative; the same at every call). NaN is NaN,
whatever its payload.

What the kernels don't serve goes to the reference: dtypes beyond float16, bfloat16, float32 and float64, and
the controls whose weighting needs the energy of all weights first.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.graph import increment_version

from dither.core.kernels import reference
from dither.core.kernels.device.moments_pass import SUMS, moments_pass
from dither.core.kernels.device.noise_pass import change_pass, perturb_pass
from dither.core.kernels.device.step_pass import means_pass, step_pass
from dither.core.kernels.device.table import DIMS, TYPES, Batch, Work, addressable, batch
from dither.core.memory import overwrite, settled, values_of
from dither.core.noise import (
    Change,
    Noise,
    Rounding,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
    Together,
)
from dither.core.places import WHOLE, Place
from dither.core.statistics import TOTAL_LIMBS, Moments, float32, integer

_OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}  # a fused multiply-add has other bits


def __getattr__(name: str) -> str:
    """NAME is made when it is asked for: only then may the GPU be asked for its own."""
    if name != "NAME":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"cuda (triton {triton.__version__}, {gpu})"


@torch.no_grad()
def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor; one launch a dtype and one transfer back."""
    found: dict[int, Moments] = {}
    tensors = [values_of(tensor) for tensor in tensors]
    served, others = _by_device(tensors)
    found |= {index: reference.moments([tensors[index]])[0] for index in others}
    for device, indices in served.items():
        works = [
            Work(row, _views(tensors[index]), (("DTYPE", TYPES[tensors[index].dtype]),))
            for row, index in enumerate(indices)
        ]
        sums = torch.zeros(len(works), SUMS, dtype=torch.int64, device=device)
        with _on(device):
            _launch(moments_pass, batch(works, device), sums)
        for index, row in zip(indices, sums.tolist(), strict=True):
            squares = integer(row[TOTAL_LIMBS:-1])
            found[index] = Moments(tensors[index].numel(), integer(row[:TOTAL_LIMBS]), squares, row[-1])
    return [found[index] for index in range(len(tensors))]


@torch.no_grad()
def perturb_(
    tensors: Sequence[Tensor], noises: Sequence[Noise], *, places: Sequence[Place] | None = None
) -> list[Change]:
    """Add each noise to its tensor, in place; a launch for each dtype and law, and one transfer back.

    Args:
        tensors: floating-point tensors of any layout.
        noises: one for each.
        places: of each in its logical tensor; None where all are whole.

    Returns:
        What changed, tensor by tensor.
    """
    places = [WHOLE] * len(tensors) if places is None else places
    if not len(tensors) == len(noises) == len(places):
        raise ValueError(
            f"{len(tensors)} tensors, {len(noises)} noises and {len(places)} places; there must be as many"
        )
    found: dict[int, Change] = {}
    tensors = [settled(tensor) for tensor in tensors]
    served, others = _by_device(tensors, places)
    for index in others:
        (found[index],) = reference.perturb_([tensors[index]], [noises[index]], places=[places[index]])
    for device, indices in served.items():
        views = [_views(tensors[index]) for index in indices]
        works = [
            _perturb_work(row, views[row][0], noises[index], places[index])
            for row, index in enumerate(indices)
        ]
        with _on(device):
            change = _changed(batch(works, device), device, partial(_launch, perturb_pass))
        for index, (view,), row in zip(indices, views, change.tolist(), strict=True):
            _wrote(tensors[index], view)
            found[index] = Change(int(row[0]), int(row[1]), row[2], row[3])
    return [found[index] for index in range(len(tensors))]


def _perturb_work(row: int, tensor: Tensor, noise: Noise, place: Place) -> Work:
    variant = (
        ("DTYPE", TYPES[tensor.dtype]),
        ("GAUSSIAN", noise.law == "gaussian"),
        ("KEEP_ZEROS", noise.keep_zeros),
        ("STOCHASTIC", _stochastic(tensor, noise.rounding)),
    )
    return Work(row, (tensor,), variant, noise.key, noise.step, noise.scale, place)


@torch.no_grad()
def sensitivity_step_(
    states: Sequence[SensitivityState],
    rule: SensitivityRule,
    scalars: StepScalars,
    *,
    together: Together | None = None,
) -> SensitivityOutcome:
    """Update the moving averages and add the noise of one training step, in place, without waiting for it."""
    if not len(states) == scalars.mean.numel() == scalars.scale.numel():
        raise ValueError(
            f"{len(states)} states, {scalars.mean.numel()} means and {scalars.scale.numel()} scales;"
            " each state needs one of each"
        )
    device = scalars.mean.device
    states = [_settled(state) for state in states]
    every = [tensor for state in states for tensor in (state.weight, state.gradient, state.average)]
    served, others = _by_device(every, [state.place for state in states for _ in range(3)])
    if rule.weighting != "insensitivity" or others or any(known != device for known in served):
        return reference.sensitivity_step_(states, rule, scalars, together=together)
    outcome = SensitivityOutcome.nothing(len(states), device)
    if not states:
        return outcome
    views = [_views(state.weight, state.gradient, state.average) for state in states]
    works = [
        Work(row, views[row], _step_variant(state, rule, scalars), state.key, place=state.place)
        for row, state in enumerate(states)
    ]
    skipped = scalars.step if scalars.skipped is None else scalars.skipped
    arguments: tuple[Any, ...] = (outcome.total, outcome.active, scalars.step, scalars.mean.contiguous())
    arguments += (scalars.scale.contiguous(), skipped, float(rule.beta), 1.0 - rule.beta)
    arguments += (float32(rule.gamma),)
    with _on(device):
        change = _changed(batch(works, device), device, partial(_launch, step_pass, arguments=arguments))
    for state, (weight, _, average) in zip(states, views, strict=True):
        _wrote(state.weight, weight)
        _wrote(state.average, average)
    return SensitivityOutcome(outcome.total, outcome.active, change)


def _settled(state: SensitivityState) -> SensitivityState:
    weight, average = settled(state.weight), settled(state.average)
    if weight is state.weight and average is state.average:
        return state
    return replace(state, weight=weight, average=average)


def _step_variant(
    state: SensitivityState, rule: SensitivityRule, scalars: StepScalars
) -> tuple[tuple[str, Any], ...]:
    return (
        ("DTYPE", TYPES[state.weight.dtype]),
        ("GRADIENT", TYPES[state.gradient.dtype]),
        ("AVERAGE", TYPES[state.average.dtype]),
        ("STOCHASTIC", _stochastic(state.weight, state.rounding)),
        ("SKIPPABLE", scalars.skipped is not None),
        ("MAGNITUDE", rule.measure == "magnitude"),
        ("IDLE", rule.idle),
        ("GAMMA", {1.0: 1, 2.0: 2}.get(rule.gamma, 0)),
    )


@torch.no_grad()
def next_means(outcome: SensitivityOutcome, means: Tensor) -> Tensor:
    """m for the next step: fl32(fl64(Σ e) / n) of each tensor, as before where nothing was active."""
    results = torch.empty_like(means, memory_format=torch.contiguous_format)
    if means.numel():
        with _on(means.device):
            means_pass[(means.numel(),)](
                outcome.total.contiguous(),
                outcome.active.contiguous(),
                means.contiguous(),
                results,
                **_OPTIONS,
            )
    return results


def _stochastic(tensor: Tensor, rounding: Rounding) -> bool:
    return rounding == "stochastic" and tensor.dtype in (torch.float16, torch.bfloat16)


def _by_device(
    tensors: Sequence[Tensor], places: Sequence[Place] | None = None
) -> tuple[dict[torch.device, list[int]], list[int]]:
    """The indices of the tensors that the kernels serve, by device, and those of the others."""
    served: dict[torch.device, list[int]] = {}
    others = []
    for index, tensor in enumerate(tensors):
        if tensor.dtype in TYPES and (places is None or len(places[index].rows) < DIMS):
            served.setdefault(tensor.device, []).append(index)
        else:
            others.append(index)
    return served, others


def _views(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as the kernels go through them: copies, where too many dimensions don't merge."""
    if len({tensor.shape for tensor in tensors}) > 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"weight, gradient and average have shapes {shapes}; they must be one")
    tensors = tuple(values_of(tensor) for tensor in tensors)
    return tensors if addressable(tensors) else tuple(tensor.contiguous() for tensor in tensors)


def _wrote(tensor: Tensor, view: Tensor) -> None:
    """Bring a copy back, and tell autograd of what the kernel wrote: it must not use the old value."""
    if view is not tensor:
        overwrite(tensor, view)
    elif not tensor.is_inference():
        increment_version(tensor)


def _on(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _launch(kernel: Any, work: Batch, *results: Tensor, arguments: tuple[Any, ...] = ()) -> None:
    for launch in work.launches:
        grid = (len(launch.items),)
        kernel[grid](work.table, launch.items, *results, *arguments, **launch.constants, **_OPTIONS)


def _changed(work: Batch, device: torch.device, launch: Callable[[Batch, Tensor], None]) -> Tensor:
    """Run what writes a row of change for each item, and add the rows up by tensor: float64 (k, 4)."""
    changes = torch.empty(work.items, 4, dtype=torch.float64, device=device)
    change = torch.zeros(len(work.table), 4, dtype=torch.float64, device=device)
    launch(work, changes)
    if work.items:
        change_pass[(len(work.table),)](work.table, changes, change, WIDTH=128, **_OPTIONS)
    return change
