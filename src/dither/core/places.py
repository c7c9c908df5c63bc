"""Where the elements of a part lie in the logical tensor: each gets the draw that it has in the whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where the elements of a part lie in its logical tensor.

    In row-major order the part is made of runs, which are neighbours in the logical tensor too:

        index of element p = offset + p mod run + Σ_d digit_d · stride_d

    with the digits of p div run in the mixed radix of the rows' sizes, the last one the fastest.

    Attributes:
        offset: row-major index of the first element in the logical tensor, in [0, 2^63).
        run: elements that follow one another in it, > 0; 0 where all of them do.
        rows: (size, stride) of each dimension in which the runs are repeated, the outermost first.

    Example:
        >>> Place.of_box(start=(0, 2), size=(3, 2), shape=(3, 6))
        Place(offset=2, run=2, rows=((3, 6),))
        >>> Place.of_box(start=(1, 0), size=(2, 6), shape=(3, 6))
        Place(offset=6, run=0, rows=())
    """

    offset: int = 0
    run: int = 0
    rows: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of_box(cls, start: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> "Place":
        """The place of a box of elements.

        Args:
            start: of the box in each dimension.
            size: of the box in each dimension.
            shape: of the logical tensor.
        """
        strides = [1] * len(shape)
        for dim in range(len(shape) - 2, -1, -1):
            strides[dim] = strides[dim + 1] * shape[dim + 1]
        offset = sum(first * stride for first, stride in zip(start, strides, strict=True))
        if 0 in size:
            return cls()
        merged: list[tuple[int, int]] = []
        for here, stride in reversed([row for row in zip(size, strides, strict=True) if row[0] > 1]):
            if merged and stride == merged[-1][0] * merged[-1][1]:
                merged[-1] = (merged[-1][0] * here, merged[-1][1])
            else:
                merged.append((here, stride))
        run, rows = (merged[0][0], merged[1:]) if merged and merged[0][1] == 1 else (1, merged)
        return cls(offset, run, tuple(reversed(rows))) if rows else cls(offset)

    def index(self, positions: Tensor) -> Tensor:
        """The indices in the logical tensor of the elements at some positions of the part.

        Args:
            positions: int64, any shape, row-major in the part.

        Example:
            >>> import torch
            >>> Place(offset=2, run=2, rows=((3, 6),)).index(torch.arange(6))
            tensor([ 2,  3,  8,  9, 14, 15])
        """
        if not self.rows:
            return positions + self.offset
        found, rest = positions % self.run + self.offset, positions // self.run
        for size, stride in reversed(self.rows):
            found += rest % size * stride
            rest = rest // size
        return found


WHOLE = Place()
"""The place of a tensor that is all there."""
