"""The kernel that writes noise in one pass, and what writing is: adding, rounding, comparing."""

import triton
import triton.language as tl

from dither.core.draws import Purpose
from dither.core.kernels.device.access import addresses, drawn, item, start, tile_of
from dither.core.kernels.device.draws import random_words, unit_draws
from dither.core.kernels.device.exact_sums import quad_sums
from dither.core.kernels.device.rounding import is_zero, narrowed, stochastically_rounded, widened
from dither.core.kernels.device.table import FIELDS, FIRST, INDEX, ITEMS, KEY, SCALE, STEP

_ROUNDING = tl.constexpr(int(Purpose.ROUNDING))


@triton.jit
def perturb_pass(
    table: tl.tensor,
    items: tl.tensor,
    changes: tl.tensor,
    DTYPE: tl.constexpr,
    GAUSSIAN: tl.constexpr,
    KEEP_ZEROS: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    STRIDED: tl.constexpr,
    ALIGNED: tl.constexpr,
    PLACED: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
) -> None:
    """W ← fl(W + fl(u · scale)) for an item; its change is a row of `changes`, float64 (items, 4)."""
    row, begin, count, tiles, number = item(table, items, ALIGNED, TILE, TILES)
    pointer = start(row, 0, DTYPE, ALIGNED)
    key, step = tl.load(row + KEY), tl.load(row + STEP).to(tl.uint32)
    scale = tl.load(row + SCALE).to(tl.int32).to(tl.float32, bitcast=True)
    changed, energy, requested = no_change(TILE)
    for tile in range(tiles):
        first, position, valid = tile_of(begin, tile, count, ALIGNED, TILE)
        at = addresses(pointer, row, position, 0, STRIDED, WIDE)
        weight = tl.load(at, mask=valid, other=0.0)
        where = drawn(row, first, position, PLACED, WIDE)
        added = unit_draws(key, where, step, GAUSSIAN, PLACED, TILE // 4) * scale
        added = tl.where(valid, added, 0.0)
        if KEEP_ZEROS:
            added = tl.where(is_zero(weight), 0.0, added)
        stored, moved = written(weight, added, key, where, step, DTYPE, STOCHASTIC, PLACED, TILE)
        tl.store(at, stored, mask=valid)
        changed, energy, requested = add_change(changed, energy, requested, moved, added)
    elements = tl.minimum(begin + tiles * TILE, count) - tl.maximum(begin, 0)
    store_change(changes + 4 * number, elements, changed, energy, requested)


@triton.jit
def written(
    weight: tl.tensor,
    added: tl.tensor,
    key: tl.tensor,
    where: tl.tensor,
    step: tl.tensor,
    DTYPE: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    PLACED: tl.constexpr,
    TILE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """fl(W + added) in the weight's dtype, W itself where added is 0, and by how much it moved."""
    if tl.float64 == DTYPE:
        stored = weight + added.to(tl.float64)
        moved = stored - weight
    else:
        wide = widened(weight)
        exact = wide + added
        if STOCHASTIC:
            words = random_words(key, where, step, _ROUNDING, PLACED, TILE // 4)
            stored = stochastically_rounded(exact, words, DTYPE)
        else:
            stored = narrowed(exact, DTYPE)
        moved = widened(stored) - wide
    # Where nothing is added nothing is written: −0 + 0 would be +0.
    still = added == 0
    return tl.where(still, weight, stored), tl.where(still, 0.0, moved)


@triton.jit
def no_change(TILE: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The start of `add_change`: how many elements changed, the energy of it, and that asked for."""
    return (
        tl.zeros([TILE // 4], tl.int32),
        tl.zeros([TILE // 4], tl.float64),
        tl.zeros([TILE // 4], tl.float64),
    )


@triton.jit
def add_change(
    changed: tl.tensor, energy: tl.tensor, requested: tl.tensor, moved: tl.tensor, added: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The change with that of a tile, by lanes: always in the same order."""
    made, asked = moved.to(tl.float64), added.to(tl.float64)
    return (
        changed + quad_sums((moved != 0).to(tl.int32)),
        energy + quad_sums(made * made),
        requested + quad_sums(asked * asked),
    )


@triton.jit
def store_change(
    to: tl.tensor, elements: tl.tensor, changed: tl.tensor, energy: tl.tensor, requested: tl.tensor
) -> None:
    """Write the four fields of an item's change."""
    tl.store(to, elements.to(tl.float64))
    tl.store(to + 1, tl.sum(changed, axis=0).to(tl.float64))
    tl.store(to + 2, tl.sum(energy, axis=0))
    tl.store(to + 3, tl.sum(requested, axis=0))


@triton.jit
def change_pass(table: tl.tensor, changes: tl.tensor, change: tl.tensor, WIDTH: tl.constexpr) -> None:
    """Add up the changes of a tensor's items, in a fixed order, into its row of `change`, float64 (k, 4)."""
    row = table + tl.program_id(0).to(tl.int64) * FIELDS
    first, items = tl.load(row + FIRST), tl.load(row + ITEMS).to(tl.int32)
    field = tl.arange(0, 4)[None, :]
    sums = tl.zeros([WIDTH, 4], tl.float64)
    for at in range(0, items, WIDTH):
        part = at + tl.arange(0, WIDTH)[:, None]
        sums += tl.load(changes + (first + part) * 4 + field, mask=part < items, other=0.0)
    tl.store(change + tl.load(row + INDEX) * 4 + tl.arange(0, 4), tl.sum(sums, axis=0))
