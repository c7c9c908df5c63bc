"""Which tensors lie on the same memory, and which on parts of each other's.

A strided tensor is a box of elements: a start, and for each dimension a size and a stride. Two tensors on the
same elements are one (tied weights, a transposed view); two that share some of them are not: noise on one
would change the other, some elements twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from dither.core.memory import has_addresses, inner_tensors, settled
from dither.core.sharding import local

_PORTION = 1 << 20  # elements at a time
_MOST = 1 << 26  # elements of an odd box that are looked at one by one


@dataclass(frozen=True)
class Box:
    """Where the elements of a strided tensor lie; equal for equal sets of elements, in whatever order.

    Attributes:
        device: on which the memory is.
        start: address of the first element.
        item: bytes of one.
        dims: (stride in bytes, size) of each dimension, the widest stride first; neighbours are merged.
    """

    device: torch.device
    start: int
    item: int
    dims: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, tensor: Tensor) -> "Box":
        """The box of a tensor whose elements are in memory.

        Example:
            >>> one = torch.zeros(4, 6)
            >>> Box.of(one) == Box.of(one.t()), Box.of(one[:, :2]).dims
            (True, ((24, 4), (4, 2)))
        """
        item = tensor.element_size()
        rows = zip(tensor.stride(), tensor.shape, strict=True)
        merged: list[tuple[int, int]] = []
        for stride, size in sorted((stride * item, size) for stride, size in rows if size > 1):
            if merged and stride == merged[-1][0] * merged[-1][1]:
                merged[-1] = (merged[-1][0], merged[-1][1] * size)
            else:
                merged.append((stride, size))
        return cls(tensor.device, tensor.data_ptr(), item, tuple(reversed(merged)))

    @property
    def end(self) -> int:
        """The address behind the last element."""
        return self.start + sum(stride * (size - 1) for stride, size in self.dims) + self.item

    @property
    def is_nested(self) -> bool:
        """Whether each stride is wider than all that lies within it: then no two elements meet."""
        reach = self.item
        for stride, size in reversed(self.dims):
            if stride < reach:
                return False
            reach += stride * (size - 1)
        return True

    @property
    def meets_itself(self) -> bool:
        """Whether two of its elements share memory.

        Example:
            >>> Box.of(torch.zeros(1, 3).expand(2, 3)).meets_itself
            True
        """
        if self.is_nested:
            return False
        count = prod(size for _, size in self.dims)
        if count > _MOST or any(stride < self.item for stride, _ in self.dims):
            return True
        return any(int(gap) < self.item for gap in np.diff(np.sort(np.concatenate(list(self._addresses())))))

    def meets(self, other: "Box") -> bool:
        """Whether some byte belongs to both.

        Example:
            >>> one = torch.zeros(4, 6)
            >>> left, right = one[:, :3], one[:, 3:]
            >>> Box.of(left).meets(Box.of(right)), Box.of(left).meets(Box.of(one[1]))
            (False, True)
        """
        if self.device != other.device or self.end <= other.start or other.end <= self.start:
            return False
        few, many = sorted((self, other), key=lambda box: prod(size for _, size in box.dims))
        if not many.is_nested or few.item != many.item or prod(size for _, size in few.dims) > _MOST:
            return True  # nothing that a model has; better refused than noised twice
        return any(bool(many._holds(addresses).any()) for addresses in few._addresses())

    def _addresses(self) -> Iterator[np.ndarray]:
        """The address of each element, in portions."""
        count = prod(size for _, size in self.dims)
        for first in range(0, count, _PORTION):
            rest = np.arange(first, min(first + _PORTION, count))
            found = np.full(rest.shape, self.start)
            for stride, size in reversed(self.dims):
                found += rest % size * stride
                rest //= size
            yield found

    def _holds(self, addresses: np.ndarray) -> np.ndarray:
        """Whether an element of this box lies over each address or over the bytes behind it."""
        met = np.zeros(addresses.shape, dtype=bool)
        for shift in (0, self.item - 1):  # its first byte, its last one
            rest = addresses + shift - self.start
            inside = rest >= 0
            for stride, size in self.dims:
                digit = rest // stride
                inside &= digit < size
                rest = rest - digit * stride
            met |= inside & (rest < self.item)
        return met


def boxes(tensor: Tensor) -> tuple[Box, ...]:
    """The memory of all that a tensor is made of here; nothing for what has no addresses.

    Example:
        >>> boxes(torch.zeros(3, device="meta"))
        ()
    """
    return tuple(Box.of(one) for one in inner_tensors(settled(local(tensor))) if has_addresses(one))


def first_meeting(found: Sequence[tuple[Box, ...]], *, among: set[int]) -> tuple[int, int] | None:
    """The first two tensors that share memory; their places in the list.

    Args:
        found: the boxes of each.
        among: places of which one at least must be in the pair.

    Example:
        >>> one = torch.zeros(8)
        >>> first_meeting([boxes(one[:2]), boxes(one[4:]), boxes(one[6:7])], among={2})
        (1, 2)
    """
    rows = [(box, place) for place, row in enumerate(found) for box in row]
    near: list[tuple[Box, int]] = []
    meetings: list[tuple[int, int]] = []
    for box, place in sorted(rows, key=lambda row: (str(row[0].device), row[0].start)):
        near = [one for one in near if one[0].device == box.device and one[0].end > box.start]
        meetings += [
            (min(place, other), max(place, other))
            for one, other in near
            if other != place and not among.isdisjoint((place, other)) and one.meets(box)
        ]
        near.append((box, place))
    return min(meetings, default=None)
