"""How a kernel reads its row of the table and finds its elements in memory."""

import triton
import triton.language as tl

from dither.core.kernels.device.table import (
    COUNT,
    FIELDS,
    FIRST,
    OFFSET,
    PLACE_SIZES,
    PLACE_STRIDES,
    POINTERS,
    SIZES,
    STRIDES,
)


@triton.jit
def item(
    table: tl.tensor, items: tl.tensor, ALIGNED: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """What this program works on.

    Args:
        table, items: of the batch; the program's number is that of its item.
        ALIGNED: contiguous, at addresses divisible by 16, and 8 divides the number of elements.

    Returns:
        Pointer to the row; the position of the first element, −3 to 0 at the first item so that it is the
        first of its group of four; the number of elements; how many tiles to go through, int32; and the
        number of the item in the whole batch.
    """
    entry = items + tl.program_id(0).to(tl.int64) * 2
    row = table + tl.load(entry) * FIELDS
    part = tl.load(entry + 1)
    count = tl.load(row + COUNT)
    begin = part * (TILE * TILES)
    if ALIGNED:
        count = tl.multiple_of(count, 8)
    else:
        begin -= tl.load(row + OFFSET) & 3
    tiles = tl.minimum((count - begin + (TILE - 1)) // TILE, TILES).to(tl.int32)
    return row, begin, count, tiles, tl.load(row + FIRST) + part


@triton.jit
def tile_of(
    begin: tl.tensor, tile: tl.tensor, count: tl.tensor, ALIGNED: tl.constexpr, TILE: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The first position of an item's tile, the positions of all its elements, and which ones there are."""
    first = begin + tile * TILE
    position = first + tl.arange(0, TILE)
    valid = position < count
    if not ALIGNED:
        valid = valid & (position >= 0)
    return first, position, valid


@triton.jit
def start(row: tl.tensor, VIEW: tl.constexpr, DTYPE: tl.constexpr, ALIGNED: tl.constexpr) -> tl.tensor:
    """Pointer to the first element of a view of the row's tensor."""
    pointer = tl.load(row + (POINTERS + VIEW)).to(tl.pointer_type(DTYPE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def addresses(
    pointer: tl.tensor,
    row: tl.tensor,
    position: tl.tensor,
    VIEW: tl.constexpr,
    STRIDED: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Pointers to the elements at some row-major positions, int64, of a view."""
    if not STRIDED:
        return pointer + position
    return pointer + _mixed(row, position, SIZES, STRIDES + 4 * VIEW, WIDE)


@triton.jit
def drawn(
    row: tl.tensor, first: tl.tensor, position: tl.tensor, PLACED: tl.constexpr, WIDE: tl.constexpr
) -> tl.tensor:
    """Which draws the elements of a tile get.

    Args:
        first: position of the tile's first element; with the offset of the tensor it is divisible by four.
        position: of each element.
        PLACED: the tensor is a part whose elements are no neighbours in the logical tensor.

    Returns:
        Where PLACED, the index of each element in the logical tensor; else the number of the first one's
        group of four, a scalar. int64.
    """
    offset = tl.load(row + OFFSET)
    if PLACED:
        where = offset + _mixed(row, position, PLACE_SIZES, PLACE_STRIDES, WIDE)
    else:
        where = (offset + first) >> 2
    return where


@triton.jit
def _mixed(
    row: tl.tensor,
    position: tl.tensor,
    SIZES_AT: tl.constexpr,
    STRIDES_AT: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Σ digit · stride, with the digits of a position in the mixed radix of four sizes of the row, int64."""
    sizes, strides = row + SIZES_AT, row + STRIDES_AT
    rest = tl.maximum(position, 0)
    size1, size2, size3 = tl.load(sizes + 1), tl.load(sizes + 2), tl.load(sizes + 3)
    if not WIDE:  # divisions of 64 bits are slow
        rest, size1, size2, size3 = (
            rest.to(tl.int32),
            size1.to(tl.int32),
            size2.to(tl.int32),
            size3.to(tl.int32),
        )
    found = (rest % size3).to(tl.int64) * tl.load(strides + 3)
    rest = rest // size3
    found += (rest % size2).to(tl.int64) * tl.load(strides + 2)
    rest = rest // size2
    found += (rest % size1).to(tl.int64) * tl.load(strides + 1)
    return found + (rest // size1).to(tl.int64) * tl.load(strides)
