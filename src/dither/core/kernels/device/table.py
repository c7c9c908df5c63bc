"""What a kernel works on: a table with a row for each tensor, and a list of items that name a part of one.

One launch serves a whole list of tensors. The table and the items of all launches are one array of int64,
which goes to the device in one transfer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import triton.language as tl
from torch import Tensor

from dither.core.places import WHOLE, Place

DIMS = 4
"""Dimensions that a view may keep after merging; one with more goes through a copy. A place has fewer."""
TILE = 1024
"""Elements that a program takes at a time; an item is some tiles of one tensor."""
MANY_TILES = 64
"""Of an item, at most: a window of the exact sums has room for 65,536 elements."""
FEW_TILES = 16
"""Where there is less to do than fills a GPU with larger items."""
_MUCH = 2**28

# Fields of a row. Pointers and strides are by view: weight, gradient, average.
POINTERS = tl.constexpr(0)
COUNT = tl.constexpr(3)
OFFSET = tl.constexpr(4)
KEY = tl.constexpr(5)
STEP = tl.constexpr(6)
SCALE = tl.constexpr(7)
FIRST = tl.constexpr(8)
ITEMS = tl.constexpr(9)
INDEX = tl.constexpr(10)
SIZES = tl.constexpr(12)
STRIDES = tl.constexpr(16)
PLACE_SIZES = tl.constexpr(28)
PLACE_STRIDES = tl.constexpr(32)
FIELDS = tl.constexpr(36)

TYPES = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.float64: tl.float64,
}
"""The dtypes that the kernels serve."""


@dataclass(frozen=True)
class Work:
    """One tensor in a list.

    Attributes:
        index: its place in the list, and its row in the results.
        views: one to three tensors of one shape: weight, gradient, average.
        variant: of the kernel, as names and values of its constants; works of one variant share a launch.
        key: two words, of the stream of draws.
        step: counter word.
        scale: of the noise, rounded to float32.
        place: of the elements in the logical tensor.
    """

    index: int
    views: tuple[Tensor, ...]
    variant: tuple[tuple[str, Any], ...] = ()
    key: tuple[int, int] = (0, 0)
    step: int = 0
    scale: float = 0.0
    place: Place = WHOLE


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel: `items` (n, 2) on the device, and the kernel's constants."""

    items: Tensor
    constants: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """The table (k, FIELDS) of a list of works on the device, and its launches."""

    table: Tensor
    launches: tuple[Launch, ...]
    items: int


def merged(views: Sequence[Tensor]) -> tuple[list[int], list[list[int]]]:
    """The sizes and, by view, the strides with neighbouring dimensions merged where all views allow it.

    Example:
        >>> merged([torch.zeros(2, 3, 4)])
        ([24], [[1]])
        >>> merged([torch.zeros(2, 3, 4), torch.zeros(2, 4, 3).transpose(1, 2)])
        ([2, 3, 4], [[12, 4, 1], [12, 1, 3]])
    """
    if all(view.is_contiguous() for view in views):
        return [views[0].numel()], [[1] for _ in views]
    sizes: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for dim, size in enumerate(views[0].shape):
        own = [view.stride(dim) for view in views]
        if size == 1:
            continue
        if sizes and all(known[-1] == step * size for known, step in zip(strides, own, strict=True)):
            sizes[-1] *= size
            for known, step in zip(strides, own, strict=True):
                known[-1] = step
            continue
        sizes.append(size)
        for known, step in zip(strides, own, strict=True):
            known.append(step)
    return (sizes, strides) if sizes else ([1], [[1] for _ in views])


def addressable(views: Sequence[Tensor]) -> bool:
    """Whether the kernels can go through these views without a copy."""
    return len(merged(views)[0]) <= DIMS


def batch(works: Sequence[Work], device: torch.device) -> Batch:
    """The table and the launches of a list of works, uploaded in one transfer without waiting for it."""
    tiles = MANY_TILES if sum(work.views[0].numel() for work in works) >= _MUCH else FEW_TILES
    laid_out = [_row(work, tiles) for work in works]
    laid_out.sort(key=lambda entry: repr(entry[1]))  # equal variants become neighbours
    table = np.array([row for row, _ in laid_out], dtype=np.int64).reshape(-1, FIELDS.value)
    counts = table[:, ITEMS.value]
    first = np.cumsum(counts) - counts
    table[:, FIRST.value] = first
    owner = np.repeat(np.arange(len(works), dtype=np.int64), counts)
    items = np.stack((owner, np.arange(len(owner), dtype=np.int64) - first[owner]), axis=1)
    rows, listed = _uploaded(table, items, device)
    bounds = [at for at in range(len(works)) if at == 0 or laid_out[at][1] != laid_out[at - 1][1]]
    edges = [*(int(first[at]) for at in bounds), len(owner)]
    launches = tuple(
        Launch(listed[begin:end], {**dict(laid_out[at][1]), "TILE": TILE, "TILES": tiles})
        for at, (begin, end) in zip(bounds, pairwise(edges), strict=True)
        if begin < end
    )
    return Batch(rows, launches, len(owner))


def _row(work: Work, tiles: int) -> tuple[list[int], tuple[tuple[str, Any], ...]]:
    """The fields of a work, and its variant with what its layout asks for."""
    sizes, strides = merged(work.views)
    if len(sizes) > DIMS:
        raise ValueError(f"tensor {work.index} has {len(sizes)} dimensions that do not merge; at most {DIMS}")
    place = work.place
    count, lead = work.views[0].numel(), place.offset % 4
    pointers = [view.data_ptr() for view in work.views]
    strided = len(sizes) > 1 or any(own != [1] for own in strides)
    aligned = not strided and not lead and count % 8 == 0 and not any(at % 16 for at in pointers)
    # float32 as the bits of an integer; the key as one number, which wraps into the sign.
    scale = int(np.float32(work.scale).view(np.int32))
    key = int(np.uint64(work.key[0] | work.key[1] << 32).view(np.int64))
    parts = -(-(count + lead) // (TILE * tiles)) if count else 0
    row = [*pointers, *[0] * (3 - len(pointers)), count, place.offset, key, work.step, scale]
    row += [0, parts, work.index, 0, *[1] * (DIMS - len(sizes)), *sizes]
    for own in [*strides, *[[]] * (3 - len(strides))]:
        row += [*[0] * (DIMS - len(own)), *own]
    # Of the place, too: the runs are the innermost dimension.
    inner = [*place.rows, (max(place.run, 1), 1)]
    for values in zip(*inner, strict=True):
        row += [*[1] * (DIMS - len(values)), *values]
    placed = bool(place.rows)
    wide = (strided or placed) and count + lead >= 2**31
    layout = (("STRIDED", strided), ("ALIGNED", aligned), ("PLACED", placed), ("WIDE", wide))
    return row, (*work.variant, *layout)


def _uploaded(table: np.ndarray, items: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    # From pinned memory a copy is queued and not waited for; the allocator keeps the memory until it is done.
    both = torch.empty(table.size + items.size, dtype=torch.int64, pin_memory=device.type == "cuda")
    both[: table.size] = torch.from_numpy(table).view(-1)
    both[table.size :] = torch.from_numpy(items).view(-1)
    there = both.to(device, non_blocking=True)
    return there[: table.size].view(table.shape), there[table.size :].view(-1, 2)
