"""Exact sums inside a kernel: whole numbers of units of 2^−149, as core/statistics.py defines them.

A float32 number is a mantissa of 24 bits times 2^exponent units, exponent in [0, 253]. Numbers whose exponent
lies in a window [low, low + 22] are whole numbers of 46 bits in units of 2^low, and these are two halves of
23 bits, whose sums and products fit integers. What lies outside of a window waits for another one. The sums
of a window go to limbs of 32 bits by atomic additions of integers, which commute: the result never depends on
the order of the programs.

A window takes at most 65,536 elements, 256 on each lane: the sums of halves then need 31 bits and a sign by
lanes, and the sums of their products 62 bits in all.
"""

import triton
import triton.language as tl

SPAN = tl.constexpr(22)
"""A window holds the exponents [low, low + SPAN]."""
HALF = tl.constexpr(23)
"""Bits of a half."""
LARGEST = tl.constexpr(253)
"""The exponent of the largest numbers."""
INFINITE = tl.constexpr(0x7F800000)
"""The bits of infinity: those of finite numbers, without the sign, are below."""
HIGHEST_WINDOW = tl.constexpr(231)
"""Where the window of the largest numbers begins."""
_WORD = tl.constexpr(0xFFFFFFFF)


@triton.jit
def quad_sums(values: tl.tensor) -> tl.tensor:
    """Sums over each four neighbours, which one thread holds."""
    return tl.sum(tl.reshape(values, [values.shape[0] // 4, 4]), axis=1)


@triton.jit
def quad_maxima(values: tl.tensor) -> tl.tensor:
    """Maxima over each four neighbours."""
    return tl.max(tl.reshape(values, [values.shape[0] // 4, 4]), axis=1)


@triton.jit
def magnitude(values: tl.tensor) -> tl.tensor:
    """The bits of |x| as int32: in the order of the numbers, with infinity and then NaN above them."""
    return values.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def exponent(bits: tl.tensor) -> tl.tensor:
    """The exponent of a number by its magnitude, int32; −1 for zero."""
    return tl.where(bits == 0, -1, tl.maximum((bits >> HALF) - 1, 0))


@triton.jit
def lowest(low: tl.tensor) -> tl.tensor:
    """The magnitude of the smallest number in the window that begins at an exponent: zero where that is 0."""
    return tl.where(low > 0, (low + 1) << HALF, 0)


@triton.jit
def halves(values: tl.tensor, low: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """h and l of numbers x = (h · 2^23 + l) · 2^low units in a window, or zero: int32, of the sign of x."""
    scale = ((LARGEST.value - low) << HALF).to(tl.float32, bitcast=True)  # 2^(126 − low)
    scaled = values * scale
    high = scaled.to(tl.int32)
    return high, ((scaled - high.to(tl.float32)) * 8388608.0).to(tl.int32)


@triton.jit
def add_limbs(limbs: tl.tensor, number: tl.tensor, position: tl.tensor) -> None:
    """Add number · 2^position, an int64 scalar of either sign, to the limbs."""
    if number != 0:
        shift = (position % 32).to(tl.int64)
        low = (number & _WORD) << shift
        high = (number >> 32) << shift
        limb = limbs + position // 32
        tl.atomic_add(limb, low & _WORD, sem="relaxed")
        tl.atomic_add(limb + 1, (low >> 32) + (high & _WORD), sem="relaxed")
        tl.atomic_add(limb + 2, high >> 32, sem="relaxed")


@triton.jit
def whole(high: tl.tensor, low: tl.tensor) -> tl.tensor:
    """The sum over the lanes of halves, as one int64."""
    return (tl.sum(high.to(tl.int64), axis=0) << HALF) + tl.sum(low.to(tl.int64), axis=0)


@triton.jit
def accumulate(
    limbs: tl.tensor,
    upper: tl.tensor,
    lower: tl.tensor,
    low: tl.tensor,
    values: tl.tensor,
    counted: tl.tensor,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Add the counted ones of some values to a window, moving it where they lie outside.

    Args:
        limbs: pointer to the limbs of the whole sum.
        upper, lower: int32 (n / 4,), sums of halves; at most 64 tiles go through one call of `add_limbs`.
        low: int32, where the window begins; HIGHEST_WINDOW before the first value.
        values: float32 (n,).
        counted: bool (n,), true for finite values alone.

    Returns:
        The window: upper, lower and low.
    """
    bits = tl.where(counted, magnitude(values), 0)
    upper, lower, bits = _add_inside(upper, lower, low, values, bits)
    outside = tl.max(bits, axis=0)
    while outside > 0:
        add_limbs(limbs, whole(upper, lower), low)
        upper, lower = tl.zeros_like(upper), tl.zeros_like(lower)
        low = tl.minimum(tl.maximum(exponent(outside) + 1 - SPAN, 0), HIGHEST_WINDOW)  # room above
        upper, lower, bits = _add_inside(upper, lower, low, values, bits)
        outside = tl.max(bits, axis=0)
    return upper, lower, low


@triton.jit
def _add_inside(
    upper: tl.tensor, lower: tl.tensor, low: tl.tensor, values: tl.tensor, bits: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Add what is inside; the magnitudes that come back are zero where that was done."""
    inside = (bits >= lowest(low)) & (bits < ((low + SPAN + 2) << HALF))
    high_half, low_half = halves(tl.where(inside & (bits > 0), values, 0.0), low)
    return upper + quad_sums(high_half), lower + quad_sums(low_half), tl.where(inside, 0, bits)
