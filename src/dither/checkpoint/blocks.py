"""The bytes of tensors in files, block by block through a few buffers: memory does not grow with them."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dither.checkpoint.headers import FLOATS, StoredFile, StoredTensor

BLOCK = 1 << 20
"""Bytes in a block, unless asked for otherwise: few enough to stay in a core's cache from stage to stage."""

LEAST_BLOCK = 4096


@dataclass(frozen=True)
class Block:
    """Some bytes of a tensor in memory.

    Attributes:
        tensor: whose bytes they are.
        start: bytes of the tensor before them.
        bytes: themselves.
        memory: the same as a uint8 tensor.
    """

    tensor: StoredTensor
    start: int
    bytes: memoryview
    memory: Tensor

    @property
    def values(self) -> Tensor:
        """The same as elements of a floating-point tensor."""
        return self.memory.view(FLOATS[self.tensor.dtype])

    @property
    def is_last(self) -> bool:
        """Whether the tensor ends with it."""
        return self.start + len(self.bytes) == self.tensor.size

    def part(self, start: int, count: int) -> Tensor:
        """Elements of it, counted from the beginning of the tensor."""
        values = self.values
        return values.narrow(0, start - self.start // values.element_size(), count)


class Ring:
    """The memory for a few blocks, used in turn: a block is overwritten when the ring has come round.

    Args:
        size: bytes of a block, a multiple of 8 and at least `LEAST_BLOCK`.
        blocks: how many there are.
    """

    def __init__(self, size: int = BLOCK, blocks: int = 1) -> None:
        if size < LEAST_BLOCK or size % 8:
            raise ValueError(f"block is {size} bytes; it must be a multiple of 8, and {LEAST_BLOCK} or more")
        self.size, self.blocks = size, blocks
        self._memory = [torch.empty(size, dtype=torch.uint8) for _ in range(blocks)]
        self._turn = 0

    def read(self, tensor: StoredTensor) -> Generator[Block, None, None]:
        """Read a tensor block by block.

        Raises:
            ValueError: the file ends before the tensor does.
        """
        with tensor.path.open("rb", buffering=0) as file:
            file.seek(tensor.start)
            for done in range(0, tensor.size, self.size):
                self._turn = (self._turn + 1) % len(self._memory)
                memory = self._memory[self._turn][: min(self.size, tensor.size - done)]
                held = memory.numpy().data
                _fill(held, file, tensor)
                yield Block(tensor, done, held, memory)


def _fill(held: memoryview, file: Any, tensor: StoredTensor) -> None:
    at = 0
    while at < len(held):
        got = file.readinto(held[at:])
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
    pairs = zip(Ring().read(one), Ring().read(other), strict=True)
    return all(left.bytes == right.bytes for left, right in pairs)
