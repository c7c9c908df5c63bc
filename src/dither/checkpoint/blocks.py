"""The bytes of a tensor in a file, block by block through one buffer: memory does not depend on its size."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dither.checkpoint.headers import FLOATS, StoredFile, StoredTensor

BLOCK = 4 << 20
"""Bytes in a block, unless asked for otherwise."""

LEAST_BLOCK = 4096


class Buffer:
    """The memory for one block; what is read into it is overwritten by the next read.

    Args:
        size: bytes, a multiple of 8 and at least `LEAST_BLOCK`.
    """

    def __init__(self, size: int = BLOCK) -> None:
        if size < LEAST_BLOCK or size % 8:
            raise ValueError(f"block is {size} bytes; it must be a multiple of 8, and {LEAST_BLOCK} or more")
        self.size = size
        self._values = torch.empty(size, dtype=torch.uint8)
        self._bytes = self._values.numpy().data

    def bytes(self, count: int) -> memoryview:
        """The first bytes of the block."""
        return self._bytes[:count]

    def values(self, count: int, tensor: StoredTensor) -> Tensor:
        """The first bytes of the block as elements of a floating-point tensor."""
        return self._values[:count].view(FLOATS[tensor.dtype])

    def read(self, file: Any, tensor: StoredTensor) -> Iterator[tuple[int, int]]:
        """Read a tensor block by block: yields (bytes before this block, bytes in it).

        Raises:
            ValueError: the file ends before the tensor does.
        """
        file.seek(tensor.start)
        done = 0
        while done < tensor.size:
            count = min(self.size, tensor.size - done)
            self._fill(file, count, tensor)
            yield done, count
            done += count

    def _fill(self, file: Any, count: int, tensor: StoredTensor) -> None:
        at = 0
        while at < count:
            got = file.readinto(self._bytes[at:count])
            if not got:
                raise ValueError(f"{tensor.path} ended within tensor {tensor.name!r}; another program cut it")
            at += got


def check_unchanged(stored: StoredFile) -> None:
    """Refuse a file that was written to since its header was read."""
    if stored.stamp != (now := StoredFile.stamp_of(stored.path)):
        raise ValueError(
            f"{stored.path} was changed while it was read (size and time {stored.stamp}, now {now}); wait "
            "for the program that writes it, then start again"
        )


def same_bytes(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors are equal in dtype, shape and every byte."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    left, right = Buffer(1 << 20), Buffer(1 << 20)
    with one.path.open("rb", buffering=0) as first, other.path.open("rb", buffering=0) as second:
        pairs = zip(left.read(first, one), right.read(second, other), strict=True)
        return all(left.bytes(count) == right.bytes(count) for (_, count), _ in pairs)
