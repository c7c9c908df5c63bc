"""Where the elements of stored tensors come: compared with what torch itself does to numbered elements."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch

from dither.checkpoint.rearrangement import Rearranged, Straight
from dither.checkpoint.tracing import Memory, Untraceable, arrive, traced
from dither.core.places import Place

Change = Callable[[list[torch.Tensor]], Any]

MOVES: dict[str, tuple[list[tuple[int, ...]], Change]] = {
    "stacked": ([(4, 6)] * 3, torch.stack),
    "merged experts": (
        [(4, 6)] * 4,
        lambda rows: torch.cat([torch.stack(rows[:2]), torch.stack(rows[2:])], dim=1),
    ),
    "split rows": ([(12, 5)], lambda rows: [row.contiguous() for row in torch.chunk(rows[0], 3)]),
    "split columns": ([(6, 8)], lambda rows: [row.contiguous() for row in torch.chunk(rows[0], 2, dim=1)]),
    "uneven splits": ([(10, 3)], lambda rows: torch.split(rows[0], [2, 3, 5])),
    "uneven joins": ([(2, 6), (3, 6), (7, 6)], lambda rows: torch.cat(rows).transpose(0, 1)),
    "transposed": ([(3, 8, 5)], lambda rows: rows[0].transpose(1, 2)),
    "interleaved": ([(3, 8, 5)], lambda rows: rows[0].reshape(3, 4, 2, 5).transpose(1, 2).reshape(3, 8, 5)),
    "permuted for rope": ([(16,)], lambda rows: rows[0].view(2, 4, 2).transpose(1, 2).reshape(16)),
    "flattened": ([(4, 3, 2, 2)], lambda rows: rows[0].flatten(1)),
    "single elements": ([(1, 1), (1, 1)], lambda rows: torch.cat(rows, dim=1)),
    "parts": ([(3, 8)], lambda rows: [rows[0][0], rows[0][1:, None, ::2]]),
    "empty": ([(0, 3), (2, 3)], torch.cat),
}


def outputs(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def truly(shapes: list[tuple[int, ...]], change: Change) -> dict[tuple[int, int], tuple[str, int]]:
    """(stored tensor, element) → (parameter, element), from numbered elements."""
    numbers = [torch.arange(prod(shape)).reshape(shape) + 1000 * at for at, shape in enumerate(shapes)]
    found = {}
    for at, result in enumerate(outputs(change(numbers))):
        for place, number in enumerate(result.reshape(-1).tolist()):
            found[divmod(number, 1000)] = (f"p{at}", place)
    return found


@pytest.mark.parametrize("block", [7, 64])
@pytest.mark.parametrize("name", MOVES)
def test_every_element_comes_where_torch_puts_it(name: str, block: int) -> None:
    shapes, change = MOVES[name]
    memories = [Memory(prod(shape)) for shape in shapes]
    rows: list[Any] = [traced(*row, memory) for row, memory in zip(_float(shapes), memories, strict=True)]
    for at, result in enumerate(outputs(change(rows))):
        arrive(result, f"p{at}")
    found = {}
    for at, memory in enumerate(memories):
        for start in range(0, memory.size, block):
            for part in Rearranged(memory).parts(start, min(block, memory.size - start)):
                for more, place in enumerate(part.place.index(torch.arange(part.count)).tolist()):
                    assert (at, part.start + more) not in found
                    found[at, part.start + more] = (part.path, place)
    assert found == truly(shapes, change)


def _float(shapes: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    return [(shape, torch.float32) for shape in shapes]


def test_long_runs_stay_together() -> None:
    half = Memory(6_000_000)
    rows: Any = [traced((2000, 3000), torch.float32, memory) for memory in (half, Memory(6_000_000))]
    arrive(torch.cat(rows, dim=1), "both")  # type: ignore[arg-type]
    (part,) = Rearranged(half).parts(0, half.size)
    assert part.place == Place(0, 3000, ((2000, 6000),))
    assert Straight("one").parts(5, 7)[0].place == Place(5)


def test_an_element_that_goes_to_two_places_is_refused() -> None:
    memory = Memory(12)
    row: Any = traced((3, 4), torch.float32, memory)
    arrive(torch.cat([row, row]), "twice")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="goes to two places of the model"):
        Rearranged(memory).parts(0, 12)


ARITHMETIC: dict[str, Callable[[Any], Any]] = {
    "add": lambda row: row + 1,
    "flip": lambda row: row.flip(0),
    "to": lambda row: row.to(torch.float64),
    "fill_": lambda row: row.fill_(0),
    "__getitem__": lambda row: row[[2, 0, 1]],
    "__setitem__": lambda row: row.__setitem__(0, row[1]),
    "index_select": lambda row: row.index_select(0, torch.tensor([2, 0, 1])),
    "expand": lambda row: row.expand(2, 3, 4),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_what_does_not_only_move_elements_is_refused(name: str) -> None:
    with pytest.raises(Untraceable, match=f"computes with {name}"):
        ARITHMETIC[name](traced((3, 4), torch.float32, Memory(12)))


def test_two_dtypes_are_not_joined() -> None:
    rows: Any = [traced((3,), dtype, Memory(3)) for dtype in (torch.float32, torch.bfloat16)]
    with pytest.raises(Untraceable, match="several dtypes"):
        torch.cat(rows)
