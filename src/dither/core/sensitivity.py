"""The rule of PATS: how much a weight matters for the task, and how much noise it gets for it.

Only the abstract of the paper was at hand (Yupeng Zhang, Hongzhi Zhang, Sirui Wang, Wei Wu and Zhoujun Li,
"PATS: Sensitivity-aware Noisy Learning for Pretrained Language Models", EMNLP 2022, doi
10.18653/v1/2022.emnlp-main.241), so these formulas are *our reconstruction* from it. A reader who has the
paper changes `insensitivity`.
"""

import math

import torch
from torch import Tensor

from dither.core.noise import SensitivityRule
from dither.core.statistics import Moments, float32


def sensitivity(weight: Tensor, gradient: Tensor) -> Tensor:
    """First-order estimate of the change of the loss if a weight were zeroed: s = |W ⊙ G|, in float32.

    A zero gradient says nothing, whatever the weight: s is 0 there even if the weight is not finite.

    Example:
        >>> sensitivity(torch.tensor([2.0, -1.0, 0.0]), torch.tensor([0.5, 3.0, 1.0]))
        tensor([1., 3., 0.])
    """
    slope = gradient.to(torch.float32)
    return (weight.to(torch.float32) * slope).abs_().masked_fill_(slope == 0, 0.0)


def insensitivity(average: Tensor, mean: float | Tensor, gamma: float) -> Tensor:
    """How little a weight matters: r = max(0, 1 − e / m)^γ, in [0, 1].

    Args:
        average: e, the moving average of the sensitivity, float32, any shape.
        mean: m, the mean of e over the elements that were active at the step before, > 0.
        gamma: γ > 0; 1 and 2 are exact in every backend, others to 2 units in the last place.

    Example:
        >>> insensitivity(torch.tensor([0.0, 1.0, 5.0]), mean=2.0, gamma=1.0)
        tensor([1.0000, 0.5000, 0.0000])
    """
    # By a tensor: a GPU divides by a number through its reciprocal, which is not rounded alike.
    divisor = torch.as_tensor(mean, dtype=torch.float32, device=average.device)
    share = 1.0 - average / divisor
    weight = torch.where(share > 0.0, share, torch.zeros_like(share))  # of an e that is NaN, too
    if gamma == 1.0:
        return weight
    return weight.mul_(weight) if gamma == 2.0 else weight.pow_(gamma)


def update_average(average: Tensor, observed: Tensor, beta: float) -> Tensor:
    """Moving average over the steps that say something: e ← s first, then β·e + (1 − β)·s; e where s = 0.

    An average of exactly zero means that its element was never active.

    Example:
        >>> update_average(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([3.0, 3.0, 0.0]), beta=0.5)
        tensor([3., 2., 1.])
    """
    blended = average * beta + observed * (1.0 - beta)
    updated = torch.where(average == 0, observed, blended)
    return torch.where(observed == 0, average, updated)


def weights_and_shape(
    average: Tensor, active: Tensor, mean: float | Tensor, rule: SensitivityRule
) -> tuple[Tensor, Tensor]:
    """The method's weights r of the noise, and those of the rule up to a factor for the whole logical tensor.

    The factor is `energy_factor`; for the method itself, and where the rule is idle, both are one, it is 1.

    Args:
        average: e, float32, any shape; it may be a part of a logical tensor.
        active: bool of the same shape: the elements about which this step says something.
        mean: m of the step before, of the whole logical tensor.
        rule: which measure and weighting.

    Returns:
        Two float32 tensors of the same shape; 0 off the active elements, unless the rule is idle.
    """
    weight = insensitivity(average, mean, rule.gamma)
    if rule.idle:
        return weight, weight
    weight = weight.mul_(active)
    if rule.weighting == "insensitivity":
        return weight, weight
    shape = active.to(torch.float32)
    return weight, (shape - weight if rule.weighting == "inverted" else shape)


def energy_factor(weight: Moments, shape: Moments) -> float:
    """What gives a control the energy of the method: the same root mean square over the active elements.

    Args:
        weight: sums over the method's weights, of the whole logical tensor.
        shape: sums over the control's, likewise.
    """
    # Inverted, with every active weight at full noise: there is nothing to carry the energy.
    return float32(math.sqrt(weight.squares / shape.squares)) if shape.squares else 0.0
