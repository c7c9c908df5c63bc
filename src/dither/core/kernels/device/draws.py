"""Random words and unit draws inside a kernel: the bits of core/draws.py.

Four neighbouring elements share one counter, so a tile of elements needs a quarter as many calls of Philox.
"""

import math

import triton
import triton.language as tl

_TURN = tl.constexpr(2.0 * math.pi)
_VARIANCE = tl.constexpr(-2.0 / 12.0)  # of Box-Muller's radius, over the 12 of the uniform law


@triton.jit
def interleaved(a: tl.tensor, b: tl.tensor, c: tl.tensor, d: tl.tensor) -> tl.tensor:
    """The elements a0 b0 c0 d0 a1 b1 ... of four lanes."""
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@triton.jit
def lanes(
    key: tl.tensor,
    where: tl.tensor,
    step: tl.tensor,
    PURPOSE: tl.constexpr,
    PLACED: tl.constexpr,
    GROUPS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The four random words of each of some groups of four elements.

    Args:
        key: int64, the low word below the high one.
        where: as `drawn` gives it: the first of GROUPS groups, or where PLACED an index in each group.
        step: uint32, the third counter word.
        PURPOSE: the fourth.
        GROUPS: how many; a power of two.

    Returns:
        Four uint32 tensors, (GROUPS,) or of the shape of `where`.
    """
    index = where >> 2 if PLACED else where + tl.arange(0, GROUPS)
    zero = (index * 0).to(tl.uint32)
    return tl.philox(key, index.to(tl.uint32), (index >> 32).to(tl.uint32), zero + step, zero + PURPOSE)


@triton.jit
def random_words(
    key: tl.tensor,
    where: tl.tensor,
    step: tl.tensor,
    PURPOSE: tl.constexpr,
    PLACED: tl.constexpr,
    GROUPS: tl.constexpr,
) -> tl.tensor:
    """The random words of the elements that `drawn` tells, 4 · GROUPS of them, uint32."""
    a, b, c, d = lanes(key, where, step, PURPOSE, PLACED, GROUPS)
    return _of_lane(where, a, b, c, d) if PLACED else interleaved(a, b, c, d)


@triton.jit
def unit_draws(
    key: tl.tensor,
    where: tl.tensor,
    step: tl.tensor,
    GAUSSIAN: tl.constexpr,
    PLACED: tl.constexpr,
    GROUPS: tl.constexpr,
) -> tl.tensor:
    """Unit draws u of the elements that `drawn` tells, 4 · GROUPS of them, float32."""
    a, b, c, d = lanes(key, where, step, 0, PLACED, GROUPS)
    # One `return` alone: the compiler types all of them, and these differ in shape.
    if PLACED and GAUSSIAN:
        upper = (where & 2) != 0
        cosine, sine = _gaussian_pair(tl.where(upper, c, a), tl.where(upper, d, b))
        draws = tl.where((where & 1) != 0, sine, cosine)
    elif PLACED:
        draws = _uniform(_of_lane(where, a, b, c, d))
    elif GAUSSIAN:
        first, second = _gaussian_pair(a, b)
        third, fourth = _gaussian_pair(c, d)
        draws = interleaved(first, second, third, fourth)
    else:
        draws = interleaved(_uniform(a), _uniform(b), _uniform(c), _uniform(d))
    return draws


@triton.jit
def _of_lane(index: tl.tensor, a: tl.tensor, b: tl.tensor, c: tl.tensor, d: tl.tensor) -> tl.tensor:
    """The word of each index among the four of its group."""
    odd = (index & 1) != 0
    return tl.where((index & 2) != 0, tl.where(odd, d, c), tl.where(odd, b, a))


@triton.jit
def _uniform(words: tl.tensor) -> tl.tensor:
    odd = (words >> 8).to(tl.int32) * 2 + (1 - 16777216)
    return odd.to(tl.float32) * 0.000000029802322387695312  # 2^-25: the product is exact


@triton.jit
def _gaussian_pair(a: tl.tensor, b: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    radius = tl.sqrt(tl.log(_unit(a)) * _VARIANCE)
    angle = _unit(b) * _TURN
    return (radius * tl.cos(angle)).to(tl.float32), (radius * tl.sin(angle)).to(tl.float32)


@triton.jit
def _unit(words: tl.tensor) -> tl.tensor:
    return (words.to(tl.float64) + 0.5) * 0.00000000023283064365386963  # 2^-32
