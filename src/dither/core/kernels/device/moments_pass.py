"""The kernel of the moments: exact sums of x and of x² in one reading, or a few where exponents spread."""

import triton
import triton.language as tl

from dither.core.kernels.device.access import addresses, item, start, tile_of
from dither.core.kernels.device.exact_sums import (
    HALF,
    INFINITE,
    LARGEST,
    SPAN,
    add_limbs,
    exponent,
    halves,
    lowest,
    magnitude,
    quad_maxima,
    quad_sums,
    whole,
)
from dither.core.kernels.device.rounding import widened
from dither.core.kernels.device.table import INDEX
from dither.core.statistics import SQUARE_LIMBS, TOTAL_LIMBS

SUMS = TOTAL_LIMBS + SQUARE_LIMBS + 1
"""Numbers of a row of sums: the limbs of the total, those of the squares, the count of what is not finite."""
_TOTALS = tl.constexpr(TOTAL_LIMBS)
_STRANGE = tl.constexpr(SUMS - 1)
_SUMS = tl.constexpr(SUMS)


@triton.jit
def moments_pass(
    table: tl.tensor,
    items: tl.tensor,
    sums: tl.tensor,
    DTYPE: tl.constexpr,
    STRIDED: tl.constexpr,
    ALIGNED: tl.constexpr,
    PLACED: tl.constexpr,  # as in every launch; sums need no index
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
) -> None:
    """Add the sums over an item to its tensor's row of `sums`, int64 (k, SUMS).

    The first reading takes everything from some exponent up, guessed from the first tile. Where the guess
    fits, the elements below wait for further readings, mostly none; where it does not, all is read again.
    """
    row, begin, count, tiles, _ = item(table, items, ALIGNED, TILE, TILES)
    limbs = sums + tl.load(row + INDEX) * _SUMS
    pointer = start(row, 0, DTYPE, ALIGNED)
    _, position, valid = tile_of(begin, 0, count, ALIGNED, TILE)
    at = addresses(pointer, row, position, 0, STRIDED, WIDE)
    first = widened(tl.load(at, mask=valid, other=0.0))
    top = tl.minimum(exponent(tl.max(magnitude(first), axis=0)) + 1, LARGEST)
    low = tl.maximum(top - SPAN, 0)
    limit = tl.full([], INFINITE, tl.int32)
    total, squares, mixed, small, largest, below, _ = _reading(
        pointer, row, begin, count, tiles, low, limit, False, DTYPE, STRIDED, ALIGNED, WIDE, TILE
    )
    if largest < ((top + 2) << HALF):
        _add_window(limbs, total, squares, mixed, small, low)
        limit = lowest(low)
        top = exponent(below)
    else:
        top = tl.minimum(exponent(largest), LARGEST)
    while top >= 0:
        low = tl.maximum(top - SPAN, 0)
        total, squares, mixed, small, largest, below, strange = _reading(
            pointer, row, begin, count, tiles, low, limit, True, DTYPE, STRIDED, ALIGNED, WIDE, TILE
        )
        _add_window(limbs, total, squares, mixed, small, low)
        if (limit == INFINITE) & (strange > 0):
            tl.atomic_add(limbs + _STRANGE, strange.to(tl.int64), sem="relaxed")
        limit = lowest(low)
        top = exponent(below)


@triton.jit
def _add_window(
    limbs: tl.tensor, total: tl.tensor, squares: tl.tensor, mixed: tl.tensor, small: tl.tensor, low: tl.tensor
) -> None:
    """Add to the limbs: x² is h² · 2^46 + 2·h·l · 2^23 + l² in squares of the window's unit."""
    add_limbs(limbs, total, low)
    add_limbs(limbs + _TOTALS, squares, 2 * low + 46)
    add_limbs(limbs + _TOTALS, mixed, 2 * low + 24)
    add_limbs(limbs + _TOTALS, small, 2 * low)


@triton.jit
def _reading(
    pointer: tl.tensor,
    row: tl.tensor,
    begin: tl.tensor,
    count: tl.tensor,
    tiles: tl.tensor,
    low: tl.tensor,
    limit: tl.tensor,
    LIMITED: tl.constexpr,
    DTYPE: tl.constexpr,
    STRIDED: tl.constexpr,
    ALIGNED: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """One reading of an item: the sums of the window that begins at the exponent `low`.

    Args:
        limit: magnitude that elements must be below of, where LIMITED; without, larger ones spoil the sums.

    Returns:
        Σ (h · 2^23 + l), Σ h², Σ h·l, Σ l², int64; the largest magnitude of all elements and that below the
        window; and how many elements are not finite, counted where LIMITED.
    """
    total_high = tl.zeros([TILE // 4], tl.int32)
    total_low, largest, below, finite = total_high, total_high, total_high, total_high
    squares = tl.zeros([TILE // 4], tl.int64)
    mixed, small = squares, squares
    bottom = lowest(low)
    for tile in range(tiles):
        _, position, valid = tile_of(begin, tile, count, ALIGNED, TILE)
        at = addresses(pointer, row, position, 0, STRIDED, WIDE)
        values = widened(tl.load(at, mask=valid, other=0.0))
        bits = magnitude(values)
        inside = bits >= bottom
        below = tl.maximum(below, quad_maxima(tl.where(inside, 0, bits)))
        if LIMITED:
            inside = inside & (bits < limit)
            finite += quad_sums((bits < INFINITE).to(tl.int32))
        else:
            largest = tl.maximum(largest, quad_maxima(bits))
        high, rest = halves(tl.where(inside, values, 0.0), low)
        total_high += quad_sums(high)
        total_low += quad_sums(rest)
        squares += quad_sums(high.to(tl.int64) * high)
        mixed += quad_sums(high.to(tl.int64) * rest)
        small += quad_sums(rest.to(tl.int64) * rest)
    return (
        whole(total_high, total_low),
        tl.sum(squares, axis=0),
        tl.sum(mixed, axis=0),
        tl.sum(small, axis=0),
        tl.max(largest, axis=0),
        tl.max(below, axis=0),
        tiles * TILE - tl.sum(finite, axis=0),
    )
