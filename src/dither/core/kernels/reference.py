"""The reference backend: plain torch operations, any device, the bits that every other backend must give."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dither.core.draws import LAWS, Purpose, random_words
from dither.core.noise import Change, Noise, SensitivityOutcome, SensitivityRule, SensitivityState
from dither.core.rounding import round_stochastically
from dither.core.sensitivity import noise_weights, sensitivity, update_average
from dither.core.statistics import BLOCK, Moments, total
from dither.core.statistics import moments as moments_of

NAME = "reference (plain torch)"
_CHUNK = 16 * BLOCK  # elements at a time: bounds the temporaries of the draws


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor."""
    return [moments_of(tensor) for tensor in tensors]


def perturb_(
    tensors: Sequence[Tensor], noises: Sequence[Noise], *, weights: Sequence[Tensor | None] | None = None
) -> list[Change]:
    """Add each noise to its tensor, in place.

    Args:
        tensors: floating-point tensors of any layout.
        noises: one for each.
        weights: r, float32 and of the tensor's shape, for noise that is not the same for all elements.

    Returns:
        What changed, tensor by tensor.
    """
    weights = weights if weights is not None else [None] * len(tensors)
    return [_perturb_one(*job) for job in zip(tensors, noises, weights, strict=True)]


@torch.no_grad()
def _perturb_one(tensor: Tensor, noise: Noise, weight: Tensor | None) -> Change:
    # The index of a draw is row-major in the logical tensor: another layout goes through a copy.
    target = tensor if tensor.is_contiguous() else tensor.contiguous()
    flat = target.view(-1)
    r = None if weight is None else weight.reshape(-1)
    change = Change(elements=0)
    for at in range(0, flat.numel(), _CHUNK):
        part = None if r is None else r[at : at + _CHUNK]
        change += add_noise_(flat[at : at + _CHUNK], noise, offset=at, weight=part)
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
    written = _rounded(wide + added, flat.dtype, noise, offset)
    moved = written.to(wide.dtype) - wide
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
def sensitivity_step_(states: Sequence[SensitivityState], rule: SensitivityRule) -> list[SensitivityOutcome]:
    """Update the moving averages and add the noise of one training step, in place."""
    return [_sensitivity_step_one(state, rule) for state in states]


def _sensitivity_step_one(state: SensitivityState, rule: SensitivityRule) -> SensitivityOutcome:
    observed = sensitivity(state.weight, state.gradient)
    active = observed != 0
    if rule.measure == "magnitude":
        observed = state.weight.to(torch.float32).abs() * active
    state.average.copy_(update_average(state.average.to(torch.float32), observed, rule.beta))
    average = state.average.to(torch.float32)
    change = Change()
    if state.noise is not None and state.mean > 0.0:
        weights = noise_weights(average, active, state.mean, rule)
        change = _perturb_one(state.weight, state.noise, weights)
    return SensitivityOutcome(total(average * active), int(active.count_nonzero()), change)
