"""Tensors in every layout that a parameter may have, and the proof that nothing beside them was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

FILL = 0.75  # exact in every dtype
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Layout(NamedTuple):
    """Dimensions in memory from the outermost; for the inner three, the step along each and its margins."""

    order: Callable[[int], list[int]]
    step: int = 1
    margin: int = 0


def _plain(dims: int) -> list[int]:
    return list(range(dims))


def _reversed(dims: int) -> list[int]:
    return list(range(dims))[::-1]


def _rolled(dims: int) -> list[int]:
    return [0, *range(2, dims), 1] if dims > 1 else list(range(dims))  # channels last


def _shuffled(dims: int) -> list[int]:
    return sorted(range(dims), key=lambda d: (3 * d + 1) % 5)


LAYOUTS = {
    "contiguous": Layout(_plain),
    "whole": Layout(_plain),
    "sliced": Layout(_plain, margin=1),
    "strided": Layout(_plain, step=2, margin=1),
    "transposed": Layout(_reversed),
    "channels last": Layout(_rolled),
    "shuffled": Layout(_shuffled),
    "channels last, strided": Layout(_rolled, step=3, margin=2),
}


class Placed(NamedTuple):
    """A view with the given values and the memory that it is part of, which is `FILL` elsewhere."""

    memory: Tensor
    view: Tensor


def place(values: Tensor, layout: str) -> Placed:
    """The values in a layout, in memory of their own."""
    order, step, margin = LAYOUTS[layout]
    if layout == "whole":
        memory = values.clone(memory_format=torch.contiguous_format)
        return Placed(memory, memory)
    if layout == "contiguous" or not values.dim():
        # Seven elements in: no vector of any width is aligned.
        memory = values.new_full((values.numel() + 14,), FILL)
        view = memory[7 : 7 + values.numel()].view(values.shape)
    else:
        dims = order(values.dim())
        spaced = [(values.shape[d], *((step, margin) if d in dims[-3:] else (1, 0))) for d in dims]
        memory = values.new_full([size * step + 2 * margin for size, step, margin in spaced], FILL)
        chosen = tuple(slice(margin, margin + size * step, step) for size, step, margin in spaced)
        view = memory[chosen].permute([dims.index(d) for d in range(values.dim())])
    view.copy_(values)
    return Placed(memory, view)


def assert_nothing_beside(placed: Placed) -> None:
    """All of the memory outside the view is as it was."""
    memory, view = placed
    inside = torch.zeros_like(memory, dtype=torch.bool)
    inside.as_strided(view.shape, view.stride(), view.storage_offset()).fill_(True)
    assert bool((memory[~inside] == FILL).all()), f"memory beside a view of {tuple(view.shape)} was written"


def assert_same(found: Tensor, expected: Tensor, what: str = "") -> None:
    """Equal bits, the sign of a zero included; any NaN equals any other."""
    found = found.detach().cpu().contiguous()
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    integer = INTEGERS[found.element_size()]
    wrong = found.view(integer) != expected.contiguous().view(integer)
    wrong &= ~(found.isnan() & expected.isnan())
    at = wrong.view(-1).nonzero().view(-1)[:4].tolist()
    pairs = [(i, found.view(-1)[i].item(), expected.reshape(-1)[i].item()) for i in at]
    assert not at, f"{what}: {int(wrong.sum())} of {found.numel()} differ; (index, found, expected): {pairs}"


def normal(shape: tuple[int, ...], seed: int, spread: float = 0.05) -> Tensor:
    """float32 numbers like weights or gradients; some are exactly zero."""
    generator = np.random.default_rng(seed)
    values = np.where(generator.random(shape) > 0.05, generator.normal(0, spread, shape), 0.0)
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).view(shape)


def scattered(shape: tuple[int, ...], seed: int, octaves: tuple[int, int] = (0, 255)) -> Tensor:
    """Finite float32 numbers of either sign with exponents all over a range; 0 are the denormals and zero."""
    generator = np.random.default_rng(seed)
    exponent = generator.integers(*octaves, shape, dtype=np.uint32)
    rest = generator.integers(0, 2**32, shape, dtype=np.uint32) & 0x807FFFFF
    return torch.from_numpy(np.asarray(rest | exponent << 23, dtype=np.uint32).view(np.float32)).view(shape)
