"""What the weights r of noise during training add up to over some steps at frozen parameters."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dither.core import kernels
from dither.core.noise import SensitivityRule
from dither.core.sensitivity import energy_factor, sensitivity, update_average, weights_and_shape
from dither.core.statistics import Moments, combine, float32


@torch.no_grad()
def accumulated_weights(
    tensors: Sequence[Tensor],
    steps: Iterable[Sequence[Tensor | None]],
    rule: SensitivityRule,
    *,
    shared_mean: bool = False,
    average: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Root mean square over steps of the weights r that the rule of PATS gives each element.

        R = sqrt(mean of r_k² over k = 2 … K)

    Noise of independent steps adds up by its squares, so steps of shares c_k with Σ c_k² = 1 leave noise of
    the spread of R ⊙ U. The first step adds none: there is no mean m before it.

    Args:
        tensors: k parameters, whole; they are not written.
        steps: for each step the gradient of each, None where the step reaches it not; two steps at least.
        rule: how gradients become weights.
        shared_mean: one mean m for all tensors instead of each one's own.
        average: dtype in which the moving average e is kept.

    Returns:
        k float32 tensors of the parameters' shapes, in [0, 1] but for controls.

    Raises:
        ValueError: fewer than two steps, or a gradient that is not finite.

    Example:
        >>> weight = torch.tensor([[1.0, 2.0]])
        >>> steps = [[torch.tensor([[1.0, 1.0]])], [torch.tensor([[1.0, 1.0]])]]
        >>> accumulated_weights([weight], steps, SensitivityRule(beta=0.5, gamma=1.0))
        [tensor([[0.3333, 0.0000]])]
    """
    averages = [torch.zeros_like(tensor, dtype=_kept(tensor, average)) for tensor in tensors]
    squares = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in tensors]
    means = [0.0] * len(tensors)
    count = 0
    for gradients in steps:
        count += 1
        found: list[Moments] = []
        before = list(means)
        for row, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
            if gradient is None:
                continue
            active = _observe(tensor, gradient, averages[row], rule)
            now = averages[row].to(torch.float32)
            one = _sum_over(now, active)
            found.append(one)
            if before[row] > 0.0:
                squares[row] += _weights(now, active, before[row], rule).square_()
            if one.count:
                means[row] = float32(one.mean)
        if shared_mean and (together := combine(found)).count:
            means = [float32(together.mean)] * len(tensors)
    if count < 2:
        raise ValueError(
            f"sensitivity is followed over {count} steps; the first adds no noise, so give two "
            "batches at least"
        )
    return [square.div_(count - 1).sqrt_() for square in squares]


def _kept(tensor: Tensor, average: torch.dtype) -> torch.dtype:
    """A half-precision parameter keeps its average in its own dtype, as in training."""
    return average if tensor.dtype in (torch.float32, torch.float64) else tensor.dtype


def _observe(tensor: Tensor, gradient: Tensor, average: Tensor, rule: SensitivityRule) -> Tensor:
    """Update the moving average; returns which elements the step says something about."""
    observed = sensitivity(tensor, gradient)
    active = observed != 0
    if rule.measure == "magnitude":
        observed = tensor.to(torch.float32).abs().masked_fill_(~active, 0.0)
    average.copy_(update_average(average.to(torch.float32), observed, rule.beta))
    return active


def _sum_over(average: Tensor, active: Tensor) -> Moments:
    """Exact sums of e over the active elements."""
    one = kernels.moments([average.masked_fill(~active, 0.0)])[0]
    if one.nonfinite:
        raise ValueError(
            f"{one.nonfinite} of the {average.numel()} sensitivities of a tensor are NaN or infinite; look "
            "for the batch whose loss or gradient is not finite"
        )
    return Moments(int(active.count_nonzero()), one.total, one.squares)


def _weights(average: Tensor, active: Tensor, mean: float, rule: SensitivityRule) -> Tensor:
    """r of a step, with the energy of the method where it is a control."""
    weight, shape = weights_and_shape(average, active, mean, rule)
    if weight is shape:
        return weight
    return shape.mul_(energy_factor(*kernels.moments([weight, shape])))
