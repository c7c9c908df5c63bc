"""Exact sums over a whole logical tensor: the same number however its elements are split, ordered or placed.

Every finite float32 number is a whole multiple of 2^−149, and its square of 2^−298. So the sum of some
elements, and the sum of their squares, is a whole number of these units, which Python's integers hold
exactly. Nothing is rounded before the end: threads, blocks, shards, ranks and devices cannot change a bit,
and partial sums are combined by adding integers.

float64 elements count as rounded to float32: the noise is scaled by a float32 number anyway.
"""

import ctypes
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT = 2.0**-149
"""The smallest positive float32 number: sums count in it, sums of squares in its square."""

LIMB_BITS = 32
TOTAL_LIMBS = 12
"""Limbs of 32 bits for a sum: 277 bits for the largest number, the rest for 2^64 of them."""
SQUARE_LIMBS = 20
"""Limbs for a sum of squares: 554 bits and the count's."""

BLOCK = 4096
_CHUNK = 16 * BLOCK  # elements at a time: bounds the temporaries at about 4 MiB
_BINS = 256  # one for each exponent of float32


def float32(value: float) -> float:
    """The float32 number nearest to a float, as a float.

    Example:
        >>> float32(0.1)
        0.10000000149011612
    """
    return ctypes.c_float(value).value


@dataclass(frozen=True)
class Moments:
    """Exact sums over some elements; those of a union are added.

    Attributes:
        count: n, how many elements.
        total: Σ x, in units of 2^−149.
        squares: Σ x², in units of 2^−298.
        nonfinite: how many elements are NaN or infinite; they are in no sum.

    Example:
        >>> moments(torch.tensor([1.0, 2.0])) + moments(torch.tensor([3.0, 4.0]))
        Moments(count=4, mean=2.5, std=1.29099440574646)
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    nonfinite: int = 0

    @property
    def mean(self) -> float:
        """fl64(Σ x) / n in float64; 0 where there is no element."""
        return float(self.total) * UNIT / self.count if self.count else 0.0

    @property
    def std(self) -> float:
        """Unbiased standard deviation sqrt((n·Σx² − (Σx)²) / (n·(n − 1))); 0 where n < 2.

        Rounded once, to float32. The numerator is an exact integer: no mean is too large for the spread.
        """
        if self.count < 2:
            return 0.0
        return _root(self.count * self.squares - self.total**2, self.count * (self.count - 1))

    @property
    def reach(self) -> float:
        """No element is farther from zero: sqrt(Σ x²), rounded up.

        Example:
            >>> 5.0 <= moments(torch.tensor([3.0, -4.0])).reach < 5.000001
            True
        """
        return float(math.isqrt(self.squares) + 1) * UNIT * (1.0 + 2.0**-50)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.nonfinite + other.nonfinite,
        )

    def __repr__(self) -> str:
        strange = f", nonfinite={self.nonfinite}" if self.nonfinite else ""
        return f"Moments(count={self.count}, mean={self.mean}, std={self.std}{strange})"


def moments(tensor: Tensor) -> Moments:
    """Exact sums over all elements of a tensor, whatever its layout.

    Args:
        tensor: any shape, any floating dtype.

    Returns:
        The sums; count 0 for an empty tensor.
    """
    flat = tensor.detach().reshape(-1)
    chunks = (flat[at : at + _CHUNK] for at in range(0, flat.numel(), _CHUNK))
    return combine(_moments_of_chunk(chunk.to(torch.float32)) for chunk in chunks)


def combine(parts: Iterable[Moments]) -> Moments:
    """The sums over a union.

    Example:
        >>> combine([])
        Moments(count=0, mean=0.0, std=0.0)
    """
    return sum(parts, Moments())


def total(tensor: Tensor) -> int:
    """Exact sum of all elements, in units of 2^−149.

    Example:
        >>> total(torch.full((10_000,), 0.5)) * UNIT
        5000.0
    """
    return moments(tensor).total


def integer(limbs: Sequence[int]) -> int:
    """The whole number Σ limb_k · 2^(32·k): limbs may have either sign and need not be reduced.

    Example:
        >>> integer([5, 1]) == 2**32 + 5
        True
    """
    return sum(limb << (LIMB_BITS * k) for k, limb in enumerate(limbs))


def limbs(number: int, count: int = TOTAL_LIMBS) -> list[int]:
    """A whole number as limbs, the lowest first: all in [0, 2^32) but the last, which has the sign.

    Example:
        >>> limbs(2**33 + 5, count=3), limbs(-1, count=3)
        ([5, 2, 0], [4294967295, 4294967295, -1])
    """
    low = [(number >> (LIMB_BITS * k)) & (2**LIMB_BITS - 1) for k in range(count - 1)]
    return [*low, number >> (LIMB_BITS * (count - 1))]


def carried(limbs: Tensor) -> Tensor:
    """The same whole numbers with smaller limbs: all but the last within 2^33 of zero, if they are int64.

    Args:
        limbs: int64 (k, n), of either sign.

    Example:
        >>> carried(torch.tensor([[2**40 + 3, -1, 0]]))
        tensor([[         3, 4294967551,         -1]])
    """
    low, high = limbs & (2**LIMB_BITS - 1), limbs >> LIMB_BITS
    low[:, 1:] += high[:, :-1]
    low[:, -1] += high[:, -1] << LIMB_BITS
    return low


def _root(numerator: int, denominator: int) -> float:
    """sqrt(numerator / denominator) units, rounded once to float32."""
    # The root has 41 bits or 42, of which the last says whether anything follows: exact in float64.
    shift = (82 + denominator.bit_length() - numerator.bit_length()) // 2
    if shift > 0:
        numerator <<= 2 * shift
    else:
        denominator <<= -2 * shift
    quotient, rest = divmod(numerator, denominator)
    root = math.isqrt(quotient)
    inexact = rest != 0 or root * root != quotient
    return float32(math.ldexp(root << 1 | inexact, -shift - 1 - 149))


def _moments_of_chunk(values: Tensor) -> Moments:
    """Add up by exponent: the elements of one exponent are mantissas of one unit."""
    bits = values.view(torch.int32).to(torch.int64)
    exponent = (bits >> 23) & 0xFF
    finite = exponent != 0xFF
    # The numbers below the smallest normal one have its unit and no leading one.
    mantissa = ((bits & 0x7FFFFF) | ((exponent != 0).to(torch.int64) << 23)) * finite
    shift = (exponent - 1).clamp_(min=0)
    square = mantissa * mantissa
    sums = [
        torch.zeros(_BINS, dtype=torch.int64, device=values.device).index_add_(0, shift, part).tolist()
        for part in (torch.where(bits < 0, -mantissa, mantissa), square >> 24, square & 0xFFFFFF)
    ]
    return Moments(
        count=values.numel(),
        total=sum(part << k for k, part in enumerate(sums[0])),
        squares=sum(
            ((high << 24) + low) << (2 * k) for k, (high, low) in enumerate(zip(*sums[1:], strict=True))
        ),
        nonfinite=values.numel() - int(finite.sum()),
    )
