"""The reference backend: plain torch operations, any device, the bits that every other backend must give."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import NamedTuple

import torch
from torch import Tensor

from dither.core.draws import LAWS, LAWS_AT, Purpose, random_words, random_words_at
from dither.core.memory import is_ordinary, overwrite, settled, values_of
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
    Together,
    check_shapes,
)
from dither.core.places import WHOLE, Place
from dither.core.rounding import round_stochastically
from dither.core.sensitivity import energy_factor, sensitivity, update_average, weights_and_shape
from dither.core.statistics import BLOCK, Moments, integer, limbs
from dither.core.statistics import moments as moments_of

NAME = "reference (plain torch)"
_CHUNK = 8 * BLOCK  # elements at a time: bounds the temporaries, and torch sums so few in one order


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor."""
    return [moments_of(values_of(tensor)) for tensor in tensors]


def perturb_(
    tensors: Sequence[Tensor],
    noises: Sequence[Noise],
    *,
    weights: Sequence[Tensor | None] | None = None,
    places: Sequence[Place] | None = None,
) -> list[Change]:
    """Add each noise to its tensor, in place.

    Args:
        tensors: floating-point tensors of any layout.
        noises: one for each.
        weights: r, float32 and of the tensor's shape, for noise that is not the same for all elements.
        places: of each in its logical tensor; None where all are whole.

    Returns:
        What changed, tensor by tensor.
    """
    weights = weights if weights is not None else [None] * len(tensors)
    places = places if places is not None else [WHOLE] * len(tensors)
    _check_values(tensors)
    return [_perturb_one(*job) for job in zip(tensors, noises, weights, places, strict=True)]


def _check_values(tensors: Sequence[Tensor]) -> None:
    """Refuse what has no values before the first tensor is written."""
    for tensor in tensors:
        if not is_ordinary(tensor):
            values_of(tensor)


@torch.no_grad()
def _perturb_one(tensor: Tensor, noise: Noise, weight: Tensor | None, place: Place) -> Change:
    # The index of a draw is row-major in the logical tensor: another layout goes through a copy.
    tensor = settled(tensor)
    target = values_of(tensor).contiguous()
    flat = target.view(-1)
    r = None if weight is None else weight.reshape(-1)
    change = Change(elements=0)
    for at in range(0, flat.numel(), _CHUNK):
        part = None if r is None else r[at : at + _CHUNK]
        change += add_noise_(flat[at : at + _CHUNK], noise, at=at, place=place, weight=part)
    if target is not tensor:
        overwrite(tensor, target)
    return change


@torch.no_grad()
def add_noise_(
    flat: Tensor, noise: Noise, *, at: int = 0, place: Place = WHOLE, weight: Tensor | None = None
) -> Change:
    """Add noise to some elements of a tensor, in place.

    The arithmetic is fixed: fl(fl(u · scale) · r) in float32, added in float32 (float64 for a float64
    tensor) and rounded once; never a fused multiply-add.

    Args:
        flat: the n elements at positions [at, at + n) of the tensor, one-dimensional.
        noise: of the whole logical tensor.
        at: position of the first one.
        place: of the tensor in the logical one.
        weight: r for these elements.
    """
    count, device = flat.numel(), flat.device
    # The index of each element, or of the first where they are neighbours.
    index = place.index(torch.arange(at, at + count, device=device)) if place.rows else place.offset + at
    if isinstance(index, Tensor):
        added = LAWS_AT[noise.law](noise.key, index, step=noise.step)
    else:
        added = LAWS[noise.law](noise.key, index, count, step=noise.step, device=device)
    added.mul_(noise.scale)
    if weight is not None:
        added.mul_(weight)
    if noise.keep_zeros:
        added.masked_fill_(flat == 0, 0.0)
    wide = flat.to(torch.promote_types(flat.dtype, torch.float32))
    # Where nothing is added nothing is written: −0 + 0 would be +0.
    still = added == 0
    written = torch.where(still, flat, _rounded(wide + added, flat.dtype, noise, index))
    moved = (written.to(wide.dtype) - wide).masked_fill_(still, 0.0)
    overwrite(flat, written)
    return Change(
        elements=count,
        changed=int(moved.count_nonzero()),
        energy=float(moved.double().square_().sum()),
        requested=float(added.double().square_().sum()),
    )


def _rounded(exact: Tensor, dtype: torch.dtype, noise: Noise, index: Tensor | int) -> Tensor:
    """The values in the tensor's dtype: to nearest, or stochastically where that was asked for.

    `index` is that of each, or of the first where they are neighbours.
    """
    if noise.rounding == "nearest" or dtype not in (torch.float16, torch.bfloat16):
        return exact.to(dtype)
    if isinstance(index, Tensor):
        words = random_words_at(noise.key, index, step=noise.step, purpose=Purpose.ROUNDING)
    else:
        words = random_words(
            noise.key, index, exact.numel(), step=noise.step, purpose=Purpose.ROUNDING, device=exact.device
        )
    return round_stochastically(exact, words, dtype)


@torch.no_grad()
def sensitivity_step_(
    states: Sequence[SensitivityState],
    rule: SensitivityRule,
    scalars: StepScalars,
    *,
    together: Together | None = None,
) -> SensitivityOutcome:
    """Update the moving averages and add the noise of one training step, in place."""
    check_shapes(states)
    _check_values([one for state in states for one in (state.weight, state.gradient, state.average)])
    device = scalars.mean.device
    outcome = SensitivityOutcome.nothing(len(states), device)
    if scalars.skipped is not None and bool(scalars.skipped):
        return outcome
    step, scales = int(scalars.step), scalars.scale.tolist()
    # A mean of 0: there was none yet, so no noise.
    means = [mean if scale > 0.0 else 0.0 for mean, scale in zip(scalars.mean.tolist(), scales, strict=True)]
    seen: Iterable[Seen] = (_observe(state, rule) for state in states)
    factors = [1.0] * len(states)
    if rule.weighting != "insensitivity":  # what a control writes depends on all elements of a tensor
        seen = list(seen)
        factors = _factors(seen, means, rule, together)
    for row, (state, one) in enumerate(zip(states, seen, strict=True)):
        outcome.total[row] = torch.tensor(limbs(one.sums.total), device=device)
        outcome.active[row] = one.sums.count - one.sums.nonfinite
        if means[row] > 0.0:
            _, weight = weights_and_shape(one.average, one.active, means[row], rule)
            # A weight that is exactly zero says nothing, so zeros are kept: this matters for `idle` alone.
            noise = Noise(state.key, scales[row], step, keep_zeros=True, rounding=state.rounding)
            change = _perturb_one(state.weight, noise, weight.mul_(factors[row]), state.place)
            outcome.change[row] = torch.tensor(astuple(change), dtype=torch.float64, device=device)
    return outcome


class Seen(NamedTuple):
    """What a step says about one tensor: e after it, in float32; its active elements; sums of e over them."""

    average: Tensor
    active: Tensor
    sums: Moments


def _observe(state: SensitivityState, rule: SensitivityRule) -> Seen:
    weight, kept = values_of(state.weight), settled(state.average)
    observed = sensitivity(weight, values_of(state.gradient))
    active = observed != 0
    if rule.measure == "magnitude":
        magnitude = weight.to(torch.float32).abs()
        observed = torch.where(active, magnitude, torch.zeros_like(magnitude))
    overwrite(kept, update_average(values_of(kept).to(torch.float32), observed, rule.beta))
    average = values_of(kept).to(torch.float32)
    return Seen(average, active, moments_of(average[active]))


def _factors(
    seen: Sequence[Seen], means: Sequence[float], rule: SensitivityRule, together: Together | None
) -> list[float]:
    """What each tensor's weights are multiplied with so that a control has the energy of the method."""
    sums: list[Moments] = []
    for one, mean in zip(seen, means, strict=True):
        both = weights_and_shape(one.average, one.active, mean, rule) if mean > 0.0 else ()
        sums += [moments_of(part) for part in both] or [Moments(), Moments()]
    if together is not None:
        sums = together(sums)
    return [energy_factor(weight, shape) for weight, shape in zip(sums[::2], sums[1::2], strict=True)]


def next_means(outcome: SensitivityOutcome, means: Tensor) -> Tensor:
    """m for the next step: fl32(fl64(Σ e) / n) of each tensor, as before where nothing was active."""
    rows = zip(outcome.total.tolist(), outcome.active.tolist(), means.tolist(), strict=True)
    values = [Moments(active, integer(row)).mean if active else mean for row, active, mean in rows]
    return torch.tensor(values, dtype=torch.float64, device=means.device).to(torch.float32)
