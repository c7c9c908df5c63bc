"""The reference backend: plain torch operations, any device, the bits that every other backend must give."""

from collections.abc import Sequence
from dataclasses import astuple

import torch
from torch import Tensor

from dither.core.draws import LAWS, Purpose, random_words
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
)
from dither.core.rounding import round_stochastically
from dither.core.sensitivity import noise_weights, sensitivity, update_average
from dither.core.statistics import BLOCK, TOTAL_LIMBS, Moments, integer, limbs
from dither.core.statistics import moments as moments_of

NAME = "reference (plain torch)"
_CHUNK = 8 * BLOCK  # elements at a time: bounds the temporaries, and torch sums so few in one order


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor."""
    return [moments_of(tensor) for tensor in tensors]


def perturb_(
    tensors: Sequence[Tensor],
    noises: Sequence[Noise],
    *,
    weights: Sequence[Tensor | None] | None = None,
    offsets: Sequence[int] | None = None,
) -> list[Change]:
    """Add each noise to its tensor, in place.

    Args:
        tensors: floating-point tensors of any layout.
        noises: one for each.
        weights: r, float32 and of the tensor's shape, for noise that is not the same for all elements.
        offsets: row-major index of each tensor's first element, where it is a part of a logical one.

    Returns:
        What changed, tensor by tensor.
    """
    weights = weights if weights is not None else [None] * len(tensors)
    offsets = offsets if offsets is not None else [0] * len(tensors)
    return [_perturb_one(*job) for job in zip(tensors, noises, weights, offsets, strict=True)]


@torch.no_grad()
def _perturb_one(tensor: Tensor, noise: Noise, weight: Tensor | None, offset: int = 0) -> Change:
    # The index of a draw is row-major in the logical tensor: another layout goes through a copy.
    target = tensor if tensor.is_contiguous() else tensor.contiguous()
    flat = target.view(-1)
    r = None if weight is None else weight.reshape(-1)
    change = Change(elements=0)
    for at in range(0, flat.numel(), _CHUNK):
        part = None if r is None else r[at : at + _CHUNK]
        change += add_noise_(flat[at : at + _CHUNK], noise, offset=offset + at, weight=part)
    if target is not tensor:
        tensor.copy_(target)
    return change


@torch.no_grad()
def add_noise_(flat: Tensor, noise: Noise, *, offset: int = 0, weight: Tensor | None = None) -> Change:
    """Add noise to the elements [offset, offset + n) of a logical tensor, in place.

    The arithmetic is fixed: fl(fl(u · scale) · r) in float32, added in float32 (float64 for a float64
    tensor) and rounded once; never a fused multiply-add.

    Args:
        flat: those n elements, one-dimensional.
        noise: of the whole tensor.
        offset: index of the first one.
        weight: r for these elements.
    """
    added = LAWS[noise.law](noise.key, offset, flat.numel(), step=noise.step, device=flat.device)
    added.mul_(noise.scale)
    if weight is not None:
        added.mul_(weight)
    if noise.keep_zeros:
        added.masked_fill_(flat == 0, 0.0)
    wide = flat.to(torch.promote_types(flat.dtype, torch.float32))
    # Where nothing is added nothing is written: −0 + 0 would be +0.
    still = added == 0
    written = torch.where(still, flat, _rounded(wide + added, flat.dtype, noise, offset))
    moved = (written.to(wide.dtype) - wide).masked_fill_(still, 0.0)
    flat.copy_(written)
    return Change(
        elements=flat.numel(),
        changed=int(moved.count_nonzero()),
        energy=float(moved.double().square_().sum()),
        requested=float(added.double().square_().sum()),
    )


def _rounded(exact: Tensor, dtype: torch.dtype, noise: Noise, offset: int) -> Tensor:
    """The values in the tensor's dtype: to nearest, or stochastically where that was asked for."""
    if noise.rounding == "nearest" or dtype not in (torch.float16, torch.bfloat16):
        return exact.to(dtype)
    words = random_words(
        noise.key, offset, exact.numel(), step=noise.step, purpose=Purpose.ROUNDING, device=exact.device
    )
    return round_stochastically(exact, words, dtype)


@torch.no_grad()
def sensitivity_step_(
    states: Sequence[SensitivityState], rule: SensitivityRule, scalars: StepScalars
) -> SensitivityOutcome:
    """Update the moving averages and add the noise of one training step, in place."""
    device = scalars.mean.device
    if scalars.skipped is not None and bool(scalars.skipped):
        return SensitivityOutcome.nothing(len(states), device)
    step, means, scales = int(scalars.step), scalars.mean.tolist(), scalars.scale.tolist()
    rows = [
        _sensitivity_step_one(
            state, rule, mean, Noise(state.key, scale, step, keep_zeros=True, rounding=state.rounding)
        )
        for state, mean, scale in zip(states, means, scales, strict=True)
    ]
    return SensitivityOutcome(
        total=torch.tensor([row[0] for row in rows], dtype=torch.int64, device=device).view(-1, TOTAL_LIMBS),
        active=torch.tensor([row[1] for row in rows], dtype=torch.int64, device=device),
        change=torch.tensor([astuple(row[2]) for row in rows], dtype=torch.float64, device=device).view(
            -1, 4
        ),
    )


def _sensitivity_step_one(
    state: SensitivityState, rule: SensitivityRule, mean: float, noise: Noise
) -> tuple[list[int], int, Change]:
    observed = sensitivity(state.weight, state.gradient)
    active = observed != 0
    if rule.measure == "magnitude":
        magnitude = state.weight.to(torch.float32).abs()
        observed = torch.where(active, magnitude, torch.zeros_like(magnitude))
    state.average.copy_(update_average(state.average.to(torch.float32), observed, rule.beta))
    average = state.average.to(torch.float32)
    found = moments_of(average[active])
    change = Change()
    if noise.scale > 0.0 and mean > 0.0:
        # A weight that is exactly zero says nothing, so zeros are kept: this matters for `idle` alone.
        change = _perturb_one(state.weight, noise, noise_weights(average, active, mean, rule))
    return limbs(found.total), found.count - found.nonfinite, change


def next_means(outcome: SensitivityOutcome, means: Tensor) -> Tensor:
    """m for the next step: fl32(fl64(Σ e) / n) of each tensor, as before where nothing was active."""
    rows = zip(outcome.total.tolist(), outcome.active.tolist(), means.tolist(), strict=True)
    values = [Moments(active, integer(row)).mean if active else mean for row, active, mean in rows]
    return torch.tensor(values, dtype=torch.float64, device=means.device).to(torch.float32)
