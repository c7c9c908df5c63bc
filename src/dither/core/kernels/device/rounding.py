"""From a dtype to float32 and back inside a kernel: the bits of torch and of core/rounding.py."""

import triton
import triton.language as tl

# Triton's interpreter truncates to bfloat16 and loses its denormals: there the bits are made by hand.
_INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def widened(values: tl.tensor) -> tl.tensor:
    """As float32: exact, but for float64."""
    if _INTERPRETED and values.dtype == tl.bfloat16:
        bits = values.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        return bits.to(tl.float32, bitcast=True)
    return values.to(tl.float32)


@triton.jit
def is_zero(values: tl.tensor) -> tl.tensor:
    """Whether they are zero, of either sign."""
    if values.dtype == tl.float64:
        return values == 0
    return widened(values) == 0


@triton.jit
def narrowed(values: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """float32 values in another dtype, to nearest, ties to even."""
    if _INTERPRETED and tl.bfloat16 == DTYPE:
        bits = values.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        rounded = tl.where(values == values, rounded, 0x7FC0)
        return rounded.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return values.to(DTYPE)


@triton.jit
def stochastically_rounded(exact: tl.tensor, words: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """`rounding.round_stochastically` of float32 values to float16 or bfloat16.

    Args:
        exact: float32 (n,).
        words: uint32 (n,), random.
        DTYPE: tl.float16 or tl.bfloat16.
    """
    nearest = narrowed(exact, DTYPE)
    wide = widened(nearest)
    error = exact - wide
    bits = nearest.to(tl.int16, bitcast=True)
    below = error < 0
    neighbour = bits + tl.where(below ^ (bits < 0), -1, 1).to(tl.int16)
    # Beside zero lie the smallest numbers of either sign.
    neighbour = tl.where(wide == 0, tl.where(below, -32767, 1).to(tl.int16), neighbour)
    beside = widened(neighbour.to(DTYPE, bitcast=True))
    chance = (words >> 8).to(tl.int32).to(tl.float32) * 0.000000059604644775390625  # 2^-24
    moves = (chance < tl.div_rn(error, beside - wide)) & (tl.abs(beside) < float("inf"))
    return tl.where(moves, neighbour, bits).to(DTYPE, bitcast=True)
