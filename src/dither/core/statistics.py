"""Mean and spread of a whole logical tensor, to the same bits however it is computed.

The elements, in row-major order, are cut into blocks of 4096, the last one filled up with zeros. Within a
block they are added by halves in float64: elements i and i + 2048 first, then i and i + 1024, and so on;
blocks are combined by neighbours. The order is fixed, so the result does not depend on threads, vector
width or device.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 4096
_BATCH = 64  # blocks at a time: bounds the float64 copy at 2 MiB


def float32(value: float) -> float:
    """The float32 number nearest to a float, as a float.

    Example:
        >>> float32(0.1)
        0.10000000149011612
    """
    return torch.tensor(value, dtype=torch.float32).item()


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations M2 of some elements, in float64.

    Example:
        >>> moments(torch.tensor([1.0, 2.0, 3.0, 4.0])).std
        1.29099440574646
    """

    count: int
    mean: float
    m2: float

    @property
    def std(self) -> float:
        """Unbiased standard deviation sqrt(M2 / (n − 1)), rounded once to float32; 0 where n < 2."""
        if self.count < 2:
            return 0.0
        return float32(math.sqrt(self.m2 / (self.count - 1)))

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of the union (Chan, Golub and LeVeque, 1983)."""
        count = self.count + other.count
        if self.count == 0 or other.count == 0:
            return self if other.count == 0 else other
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + delta * delta * (self.count * other.count / count)
        return Moments(count, mean, m2)


def moments(tensor: Tensor) -> Moments:
    """Moments of all elements of a tensor, whatever its layout.

    Args:
        tensor: any shape, any floating dtype.

    Returns:
        The moments; count 0 for an empty tensor.
    """
    flat = tensor.detach().reshape(-1)
    parts: list[Moments] = []
    for at in range(0, flat.numel(), BLOCK * _BATCH):
        # A copy even of float64 elements: the blocks are worked on in place.
        chunk = flat[at : at + BLOCK * _BATCH].to(torch.float64, copy=True)
        counts = _block_counts(chunk)
        blocks = _as_blocks(chunk)
        means = _block_sums(blocks) / counts
        deviations = blocks.sub_(means.view(-1, 1))
        deviations.view(-1)[chunk.numel() :] = 0.0
        m2 = _block_sums(deviations.mul_(deviations))
        rows = zip(counts.tolist(), means.tolist(), m2.tolist(), strict=True)
        parts += [Moments(int(count), mean, square) for count, mean, square in rows]
    return combine(parts)


def combine(parts: list[Moments]) -> Moments:
    """Combine moments by halves, neighbours first: ((p0 + p1) + (p2 + p3)) + ..."""
    while len(parts) > 1:
        parts = [sum(parts[i + 1 : i + 2], parts[i]) for i in range(0, len(parts), 2)]
    return parts[0] if parts else Moments(0, 0.0, 0.0)


def total(tensor: Tensor) -> float:
    """Sum of all elements in float64, in the fixed order of `moments`.

    Example:
        >>> total(torch.ones(10_000))
        10000.0
    """
    flat = tensor.detach().reshape(-1)
    sums: list[float] = []
    for at in range(0, flat.numel(), BLOCK * _BATCH):
        sums += _block_sums(_as_blocks(flat[at : at + BLOCK * _BATCH].to(torch.float64))).tolist()
    while len(sums) > 1:
        sums = [sum(sums[i + 1 : i + 2], sums[i]) for i in range(0, len(sums), 2)]
    return sums[0] if sums else 0.0


def _as_blocks(chunk: Tensor) -> Tensor:
    """View as (blocks, BLOCK); the last block is filled up with zeros."""
    missing = -chunk.numel() % BLOCK
    if missing:
        chunk = torch.cat((chunk, chunk.new_zeros(missing)))
    return chunk.view(-1, BLOCK)


def _block_counts(chunk: Tensor) -> Tensor:
    """How many elements each block holds, as float64."""
    starts = torch.arange(0, chunk.numel(), BLOCK, device=chunk.device)
    return (chunk.numel() - starts).clamp_(max=BLOCK).to(torch.float64)


def _block_sums(blocks: Tensor) -> Tensor:
    """Sum of each block, by halves: (blocks, BLOCK) -> (blocks,)."""
    while blocks.shape[1] > 1:
        half = blocks.shape[1] // 2
        blocks = blocks[:, :half] + blocks[:, half:]
    return blocks[:, 0]
