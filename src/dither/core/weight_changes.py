"""How far weights moved, in norms: from the pretrained ones to those at the end of training."""

import math
from dataclasses import dataclass

from torch import Tensor

from dither.core.sharding import is_sharded

_BLOCK = 2**20  # elements at a time in float64: bounds the temporaries at some 20 MiB


@dataclass(frozen=True)
class WeightChange:
    """Sums of squares over some elements; those of a union are added.

    Attributes:
        count: n, how many elements.
        start: Σ W_0², of the weights before any noise.
        end: Σ W_end².
        change: Σ (W_end − W_0)².
        noise: Σ of the squares of the noise that was added in between, step by step; 0 without noise.

    Example:
        >>> import torch
        >>> one = weight_change(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 5.0]))
        >>> one.distance, one.relative, round(one.norm_change, 4)
        (1.0, 0.2, 0.1662)
        >>> (one + one).count
        4
    """

    count: int = 0
    start: float = 0.0
    end: float = 0.0
    change: float = 0.0
    noise: float = 0.0

    @property
    def distance(self) -> float:
        """‖W_end − W_0‖, Frobenius, in units of the weights."""
        return math.sqrt(self.change)

    @property
    def relative(self) -> float:
        """‖W_end − W_0‖ / ‖W_0‖; NaN where W_0 is zero."""
        return _ratio(self.distance, self.start)

    @property
    def norm_change(self) -> float:
        """| ‖W_end‖ − ‖W_0‖ | / ‖W_0‖; NaN where W_0 is zero."""
        return _ratio(abs(math.sqrt(self.end) - math.sqrt(self.start)), self.start)

    @property
    def relative_noise(self) -> float:
        """‖noise‖ / ‖W_0‖; NaN where W_0 is zero.

        Of noise in many steps it is the root of the sum of the steps' squares: the expected norm of their
        sum, since the draws of two steps are independent with mean 0.
        """
        return _ratio(math.sqrt(self.noise), self.start)

    def __add__(self, other: "WeightChange") -> "WeightChange":
        return WeightChange(
            self.count + other.count,
            self.start + other.start,
            self.end + other.end,
            self.change + other.change,
            self.noise + other.noise,
        )


def weight_change(start: Tensor, end: Tensor, *, noise: float = 0.0) -> WeightChange:
    """The change of one tensor, in float64, block by block.

    NoisyTune's question: how much does each kind of parameter move in fine-tuning, with noise and without?

    Args:
        start: W_0, the pretrained weights before any noise.
        end: W_end, of the same shape, anywhere.
        noise: the sum of squares of the noise that was added, as `dither.Record` tells it.

    Raises:
        ValueError: the shapes differ, or a tensor is sharded (DTensor), which is not supported here.

    Reference:
        C. Wu et al. (2022), "NoisyTune: A Little Noise Can Help You Finetune Pretrained Language Models
        Better", doi 10.18653/v1/2022.acl-short.76, whose analysis compares the changes of parameters by type.
        Here norms are Euclidean (L2), so that types of many tensors add up.
    """
    if is_sharded(start) or is_sharded(end):
        raise ValueError("the change of a sharded tensor (DTensor) is not supported; pass full_tensor()")
    if start.shape != end.shape:
        raise ValueError(f"the weights have shape {tuple(start.shape)} at the start, {tuple(end.shape)} now")
    before, after = start.detach().reshape(-1), end.detach().reshape(-1)
    squares = [0.0, 0.0, 0.0]
    for at in range(0, before.numel(), _BLOCK):
        old = before[at : at + _BLOCK].to("cpu").double()
        new = after[at : at + _BLOCK].to("cpu").double()
        for place, values in enumerate((old, new, new - old)):
            squares[place] += float(values.square().sum())
    return WeightChange(before.numel(), squares[0], squares[1], squares[2], noise)


def _ratio(value: float, squares: float) -> float:
    return value / math.sqrt(squares) if squares else math.nan
