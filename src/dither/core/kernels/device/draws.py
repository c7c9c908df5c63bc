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
    key: tl.tensor, group: tl.tensor, step: tl.tensor, PURPOSE: tl.constexpr, GROUPS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The four random words of each of the groups [group, group + GROUPS) of four elements.

    Args:
        key: int64, the low word below the high one.
        group: int64, index // 4 of the first element.
        step: uint32, the third counter word.
        PURPOSE: the fourth.
        GROUPS: how many; a power of two.

    Returns:
        Four uint32 tensors (GROUPS,).
    """
    index = group + tl.arange(0, GROUPS)
    zero = tl.zeros([GROUPS], tl.uint32)
    return tl.philox(key, index.to(tl.uint32), (index >> 32).to(tl.uint32), zero + step, zero + PURPOSE)


@triton.jit
def random_words(
    key: tl.tensor, group: tl.tensor, step: tl.tensor, PURPOSE: tl.constexpr, GROUPS: tl.constexpr
) -> tl.tensor:
    """The random words of 4 · GROUPS elements, uint32, element by element."""
    a, b, c, d = lanes(key, group, step, PURPOSE, GROUPS)
    return interleaved(a, b, c, d)


@triton.jit
def unit_draws(
    key: tl.tensor, group: tl.tensor, step: tl.tensor, GAUSSIAN: tl.constexpr, GROUPS: tl.constexpr
) -> tl.tensor:
    """Unit draws u of 4 · GROUPS elements, float32."""
    a, b, c, d = lanes(key, group, step, 0, GROUPS)
    if GAUSSIAN:
        first, second = _gaussian_pair(a, b)
        third, fourth = _gaussian_pair(c, d)
        return interleaved(first, second, third, fourth)
    return interleaved(_uniform(a), _uniform(b), _uniform(c), _uniform(d))


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
