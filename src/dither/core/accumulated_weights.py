"""What the weights r of noise during training add up to over some steps at frozen parameters."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dither.core import kernels
from dither.core.noise import SensitivityRule, SensitivityState, StepScalars
from dither.core.sensitivity import energy_factor, sensitivity, weights_and_shape
from dither.core.statistics import Moments, combine, float32, integer

_CHUNK = 1 << 16  # elements at a time: temporaries stay in the cache


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
    squares = [torch.zeros(tensor.shape, device=tensor.device) for tensor in tensors]
    means = [0.0] * len(tensors)
    count = 0
    for count, gradients in enumerate(steps, start=1):  # noqa: B007
        before, found = list(means), []
        rows = zip(tensors, gradients, averages, squares, strict=True)
        for row, (tensor, gradient, e, square) in enumerate(rows):
            if gradient is None:
                continue
            total = _observe(tensor, gradient, e, rule)
            means[row] = float32(total.mean) if total.count else means[row]
            found.append(total)
            if before[row] > 0.0:
                _add_squares(square, tensor, gradient, e, before[row], rule=rule)
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


def _observe(tensor: Tensor, gradient: Tensor, average: Tensor, rule: SensitivityRule) -> Moments:
    """Update the moving average as a training step does, without noise; the sum over the active elements."""
    nothing = torch.zeros(1, device=tensor.device)
    scalars = StepScalars(torch.ones((), dtype=torch.int64, device=tensor.device), nothing, nothing)
    state = SensitivityState(tensor, gradient, average, (0, 0))
    seen = replace(rule, weighting="insensitivity")  # what a control writes is no matter here
    outcome = kernels.backend_for(tensor.device).sensitivity_step_([state], seen, scalars)
    if kernels.moments([average])[0].nonfinite:
        raise ValueError(
            f"sensitivities of a tensor of shape {tuple(tensor.shape)} are NaN or infinite; look for the "
            "batch whose gradient is not finite"
        )
    return Moments(int(outcome.active), integer(outcome.total[0].tolist()))


def _add_squares(
    squares: Tensor, tensor: Tensor, gradient: Tensor, average: Tensor, mean: float, *, rule: SensitivityRule
) -> None:
    """Add r² of a step; part by part, so that what is made on the way stays small."""
    tensors = (tensor, gradient, average, squares)
    parts = zip(*(one.reshape(-1).split(_CHUNK) for one in tensors), strict=True)
    if rule.weighting == "insensitivity":
        for weights, slopes, e, into in parts:
            _, r = _weights(weights, slopes, e, mean, rule)
            into += r.square_()
        return
    # What a control gets depends on all elements of a tensor.
    pairs = [_weights(weights, slopes, e, mean, rule) for weights, slopes, e, _ in parts]
    own, shape = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    squares.view(-1).add_(shape.mul_(energy_factor(*kernels.moments([own, shape]))).square_())


def _weights(
    tensor: Tensor, gradient: Tensor, average: Tensor, mean: float, rule: SensitivityRule
) -> tuple[Tensor, Tensor]:
    active = sensitivity(tensor, gradient) != 0
    return weights_and_shape(average.to(torch.float32), active, mean, rule)
