"""Where the bytes of a stored tensor go when a model is loaded: which parameter, and which of its elements.

Most tensors are a parameter's as they are. Where loading merges, splits or transposes, each block of a stored
tensor falls into parts that lie evenly in a parameter: the noise of each element is that of its place there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from dither.checkpoint.tracing import Link, Memory
from dither.core.places import Place

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Elements that follow one another in a stored tensor and lie evenly in a parameter.

    Attributes:
        start: the first of them, from the beginning of the stored tensor.
        count: how many.
        path: of the parameter.
        place: where they lie in it.
    """

    start: int
    count: int
    path: str
    place: Place


@dataclass(frozen=True)
class Straight:
    """A stored tensor that is a parameter, element by element.

    Attributes:
        path: of the parameter.
    """

    path: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The one parameter."""
        return (self.path,)

    def parts(self, start: int, count: int) -> list[Part]:
        """The parts of some elements: one."""
        return [Part(start, count, self.path, Place(start))]


@dataclass(frozen=True)
class Rearranged:
    """A stored tensor whose elements are found elsewhere in the model.

    Attributes:
        memory: of the stored tensor, with its links to parameters.
    """

    memory: Memory

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The parameters that get elements of it."""
        return tuple(dict.fromkeys(end.path for end in self._ends))

    @cached_property
    def _ends(self) -> list[Memory]:
        return [memory for memory in _reached(self.memory) if memory.path]

    @cached_property
    def _unit(self) -> int:
        """Elements that stay together on all their way."""
        links = [link for memory in _reached(self.memory) for link in memory.links]
        return gcd(*(number for link in links for number in _grid(link))) or max(self.memory.size, 1)

    def parts(self, start: int, count: int) -> list[Part]:
        """The parts of the elements from `start` on; what goes nowhere is in none of them.

        Raises:
            ValueError: an element goes to two places.
        """
        unit = self._unit
        units = np.arange(start // unit, -(-(start + count) // unit), dtype=np.int64)
        first = np.maximum(units * unit, start)
        count_of = np.minimum((units + 1) * unit, start + count) - first
        owner, place = self._follow(self.memory, units)
        return list(self._even(first, count_of, owner, place * unit + first - units * unit))

    def _follow(self, memory: Memory, units: Whole) -> tuple[Whole, Whole]:
        """The parameter of each unit, as a place in `_ends` or −1, and the unit of it there."""
        if memory.path:
            return np.full_like(units, self._ends.index(memory)), units
        owner, place = np.full_like(units, -1), np.zeros_like(units)
        for link in memory.links:
            inside, there = _carried(link, units, self._unit)
            if not inside.any():
                continue
            if (owner[inside] >= 0).any():
                raise ValueError("an element of a stored tensor goes to two places of the model")
            owner[inside], place[inside] = self._follow(link.target, there[inside])
        return owner, place

    def _even(self, first: Whole, count: Whole, owner: Whole, place: Whole) -> Iterator[Part]:
        """Neighbours with neighbouring places become runs, and runs at even distances one part."""
        runs = _starts((owner[1:] == owner[:-1]) & (place[1:] == place[:-1] + count[:-1]))
        count = np.add.reduceat(count, runs)
        first, owner, place = first[runs], owner[runs], place[runs]
        for begin, end in _evenly_spaced(count, owner, place):
            if owner[begin] < 0:
                continue
            run, size, offset = int(count[begin]), end - begin, int(place[begin])
            stride = int(place[begin + 1]) - offset if size > 1 else 0
            there = Place(offset, run, ((size, stride),)) if size > 1 else Place(offset)
            yield Part(int(first[begin]), run * size, self._ends[int(owner[begin])].path, there)


def _reached(memory: Memory) -> list[Memory]:
    """A memory and all that its elements are copied to."""
    found, left = {id(memory): memory}, [memory]
    while left:
        for link in left.pop().links:
            if id(link.target) not in found:
                found[id(link.target)] = link.target
                left.append(link.target)
    return list(found.values())


def _grid(link: Link) -> Sequence[int]:
    """What a unit of elements must divide to stay together in a copy."""
    dims = list(link.dims)
    run = dims.pop()[0] if dims and dims[-1][1:] == (1, 1) else 1
    strides = [stride for _, *both in dims for stride in both]
    return [run, link.start, link.target_start, *strides]


def _carried(link: Link, units: Whole, unit: int) -> tuple[NDArray[np.bool_], Whole]:
    """Which units a link copies, and where they come."""
    rest = units - link.start // unit
    inside = rest >= 0
    there = np.full_like(units, link.target_start // unit)
    for size, far, near in link.dims:
        if (far, near) == (1, 1):  # the run, in units
            size //= unit
        else:
            far, near = far // unit, near // unit
        digit = rest // near
        inside &= digit < size
        rest = rest - digit * near
        there += digit * far
    return inside & (rest == 0), there


def _starts(joined: NDArray[np.bool_]) -> Whole:
    """The places at which something new begins; entry i says whether i + 1 goes on with i."""
    return np.flatnonzero(np.concatenate(([True], ~joined)))


def _evenly_spaced(count: Whole, owner: Whole, place: Whole) -> Iterator[tuple[int, int]]:
    """Ranges of runs of one parameter, one length and one distance, from left to right."""
    same = (owner[1:] == owner[:-1]) & (count[1:] == count[:-1])
    step = np.where(same, place[1:] - place[:-1], 0)
    turns = iter([*(np.flatnonzero(step[1:] != step[:-1]) + 1).tolist(), len(step)])
    begin, turn = 0, next(turns)
    while begin < len(count):
        while turn <= begin < len(step):
            turn = next(turns)
        end = turn + 1 if begin < len(step) and step[begin] > 0 else begin + 1
        yield begin, end
        begin = end
