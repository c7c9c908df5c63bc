"""Counts of nonnegative numbers over fixed bins, equally wide in logarithms: those of parts are added."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FIRST, DECADES, PER_DECADE = -18, 20, 3

EDGES: NDArray[np.float64] = 10.0 ** (FIRST + np.arange(DECADES * PER_DECADE + 1) / PER_DECADE)
"""The 61 edges of 60 bins, from 1e-18 to 100, three bins to a decade; a bin holds its lower edge."""

COLUMNS = 3 + len(EDGES) + 1
"""How many numbers stand in a row of `LogCounts`."""

_SHIFT = 14  # of float32's bits: what is left is so fine that no two edges share a value of it
_NONFINITE = len(EDGES) + 1  # the code of NaN and infinity, behind those of all bins
_BLOCK = {"cpu": 2**18}  # elements at a time: what a core's cache holds
_LARGE = 2**24


@dataclass(frozen=True, eq=False)
class LogCounts:
    """How many of some nonnegative values are in which bin; those of a union of values are added.

    All numbers are float64, which counts exactly up to 2^53 elements, and stand in one row: it is added up
    over steps, tensors and processes as it is.

    Args:
        row: float64 of shape (65,): nonfinite, zeros, the sum of the finite values, below the first edge, in
            each bin, from the last edge on. Zeros are in no bin, what is not finite is in nothing else.

    Example:
        >>> found = LogCounts.of(torch.tensor([0.0, 1e-20, 1.0, 2.0])) + LogCounts.of(torch.tensor([3.0]))
        >>> found.count, found.zeros, found.mean
        (5.0, 1.0, 1.2)
        >>> found.sparse()
        [[0, 1], [55, 2], [56, 1]]
    """

    row: NDArray[np.float64]

    @classmethod
    def empty(cls) -> "LogCounts":
        """Of no values."""
        return cls(np.zeros(COLUMNS))

    @classmethod
    def of(cls, values: Tensor) -> "LogCounts":
        """Of all elements of a tensor, which count as rounded to float32.

        Args:
            values: nonnegative, of any shape, floating dtype and device.

        Raises:
            ValueError: a value is negative.
        """
        return cls(count_row(values).cpu().numpy())

    def __add__(self, other: "LogCounts") -> "LogCounts":
        return LogCounts(self.row + other.row)

    @property
    def nonfinite(self) -> float:
        """How many values are NaN or infinite."""
        return float(self.row[0])

    @property
    def zeros(self) -> float:
        """How many values are exactly 0."""
        return float(self.row[1])

    @property
    def bins(self) -> NDArray[np.float64]:
        """The counts, float64 (62,): below the first edge, in each bin, from the last edge on."""
        return self.row[3:]

    @property
    def count(self) -> float:
        """How many values there are."""
        return float(self.row[0] + self.row[1] + self.bins.sum())

    @property
    def mean(self) -> float:
        """Of the values; NaN where there is none, or one is not finite."""
        finite = self.count - self.nonfinite
        return float(self.row[2]) / finite if finite and not self.nonfinite else math.nan

    def sparse(self) -> list[list[int]]:
        """The bins that are not empty, as [place in `bins`, count]."""
        return [[int(place), int(self.bins[place])] for place in np.flatnonzero(self.bins)]


def dense(sparse: list[list[int]]) -> NDArray[np.float64]:
    """The bins that `LogCounts.sparse` gave, float64 (62,).

    Example:
        >>> float(dense([[3, 5]])[3])
        5.0
    """
    bins = np.zeros(len(EDGES) + 1)
    for place, count in sparse:
        bins[place] = count
    return bins


def log_quantile(bins: NDArray[np.float64], part: float) -> float:
    """Where a part of the positive values lies below, evenly spread over the logarithms within a bin.

    Args:
        bins: counts of shape (62,), as of `LogCounts.bins`; any unit, such as shares.
        part: in (0, 1); 0.5 gives the median.

    Returns:
        In [1e-18, 100]; it is off by a third of a decade at most. An end where the quantile lies beyond it;
        NaN where no value is positive.

    Example:
        >>> bins = dense([[55, 2], [56, 2]])
        >>> round(log_quantile(bins, 0.5), 6), round(log_quantile(bins, 0.25), 6)
        (2.154435, 1.467799)
    """
    total = float(bins.sum())
    if not total > 0:
        return math.nan
    upto = np.cumsum(bins)
    place = min(int(np.searchsorted(upto, part * total)), len(bins) - 1)
    if place in (0, len(bins) - 1):
        return float(EDGES[0] if place == 0 else EDGES[-1])
    inside = (part * total - (upto[place] - bins[place])) / bins[place]
    return float(EDGES[place - 1] * (EDGES[place] / EDGES[place - 1]) ** inside)


def count_row(values: Tensor) -> Tensor:
    """The row of `LogCounts` of a tensor, on its device, block by block.

    Raises:
        ValueError: a value is negative.
    """
    flat = values.detach().reshape(-1)
    row = torch.zeros(COLUMNS, dtype=torch.float64, device=flat.device)
    for at in range(0, flat.numel(), block_size(flat.device)):
        row += _count_block(flat[at : at + block_size(flat.device)].to(torch.float32))
    return row


def block_size(device: torch.device) -> int:
    """How many elements are counted at a time."""
    return _BLOCK.get(device.type, _LARGE)


def _count_block(block: Tensor) -> Tensor:
    # Bit patterns of nonnegative float32 numbers have the order of the numbers.
    bits = block.view(torch.int32)
    if bits.numel() and int(bits.min()) < 0:
        if bool((block < 0).any()):
            raise ValueError(
                f"values hold {float(block[block < 0][0])}; only values >= 0 are counted: take |w·g|, or "
                "the absolute values"
            )
        bits = block.abs().view(torch.int32)  # the sign of a NaN, or of a zero
    codes, last = _tables(block.device)
    code = codes.index_select(0, bits >> _SHIFT)
    code += bits > last.index_select(0, code)
    found = torch.bincount(code, minlength=_NONFINITE + 1).to(torch.float64)
    nonfinite, zeros = found[_NONFINITE], block.numel() - torch.count_nonzero(block)
    found[0] -= zeros
    finite = torch.where(code == _NONFINITE, 0.0, block) if nonfinite else block
    head = torch.stack([nonfinite, zeros.to(torch.float64), finite.sum(dtype=torch.float64)])
    return torch.cat([head, found[:_NONFINITE]])


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """The bin of the least number with given leading bits, and the last bit pattern that is in each bin."""
    edges = EDGES.astype(np.float32)
    edges = np.where(edges < EDGES, np.nextafter(edges, np.float32(np.inf)), edges).view(np.int32)
    least = np.arange(2 ** (31 - _SHIFT), dtype=np.int64) << _SHIFT
    codes = np.where(least >= 0x7F800000, _NONFINITE, np.searchsorted(edges, least, side="right"))
    last = np.append(edges - 1, [0x7FFFFFFF] * 2).astype(np.int32)
    return torch.from_numpy(codes.astype(np.int32)).to(device), torch.from_numpy(last).to(device)
