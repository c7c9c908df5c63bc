"""Stochastic rounding of float32 values to a narrower dtype, from given random words."""

import torch
from torch import Tensor

_INTEGER = {torch.float16: torch.int16, torch.bfloat16: torch.int16}


def round_stochastically(exact: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
    """Round each value to one of its two neighbours, to the farther one with the probability of nearness.

    A value x between the neighbours a <= x < b becomes b with probability (x − a)/(b − a), so that the
    rounding is unbiased and small noise is not swallowed. Values beyond the largest finite number
    round to nearest.

    Args:
        exact: float32, any shape.
        words: int64 random words in [0, 2^32), as many as there are values; their upper 24 bits count.
        dtype: torch.float16 or torch.bfloat16.

    Returns:
        A tensor of `dtype` in the shape of `exact`.

    Example:
        >>> halfway = torch.full((4,), 1.0 + 2.0**-8)
        >>> words = torch.tensor([0, 2**30, 2**31, 2**32 - 1])
        >>> (round_stochastically(halfway, words, torch.bfloat16) - 1).tolist()
        [0.0078125, 0.0078125, 0.0, 0.0]
    """
    nearest = exact.to(dtype)
    error = exact - nearest.to(torch.float32)
    # One step away from or towards zero is ±1 on the bits of sign and magnitude.
    bits = nearest.view(_INTEGER[dtype])
    outwards = torch.where((error < 0) == torch.signbit(nearest), 1, -1).to(bits.dtype)
    neighbour = (bits + outwards).view(dtype)
    smallest = torch.full_like(bits, 1).view(dtype)
    neighbour = torch.where(nearest == 0, torch.copysign(smallest, error.to(dtype)), neighbour)
    gap = neighbour.to(torch.float32) - nearest.to(torch.float32)
    chance = (words.view(exact.shape) >> 8).to(torch.float32) * 2.0**-24
    moves = (chance < error / gap) & torch.isfinite(neighbour)
    return torch.where(moves, neighbour, nearest)
