"""How concentrated nonnegative values are, such as sensitivities: exactly, or from sums that can be added.

A `Sketch` holds counts and sums, never values, so it serves billions of elements, tensor by tensor, and the
sketch of a union is the sum of the sketches. Its error bounds are proven ones and come with the numbers.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dither.core.histogram import EDGES, LogCounts
from dither.core.sharding import is_sharded

SMALL = 0.01
"""What is below this part of the mean counts as insensitive."""

_SHIFT = 14  # of float32's bits: what is left makes 512 bins to an octave, each at most 0.2 % wide
_BINS = 0x7F800000 >> _SHIFT  # all finite nonnegative float32 numbers
_BLOCK = 2**20  # elements at a time

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Concentration:
    """How concentrated n nonnegative values x_1 … x_n with mean m are.

    Gini, share and entropy are NaN where all values are 0 or one is not finite; so is the mean of the latter.

    Attributes:
        count: n.
        zeros: how many values are exactly 0.
        nonfinite: how many are NaN or infinite; they are in nothing else.
        mean: m, in units of the values.
        gini: Σ_ij |x_i − x_j| / (2 n² m), in [0, (n−1)/n]: 0 for equal values, (n−1)/n if one has all.
        gini_error: the exact value is within this of `gini`; 0 where it is exact.
        share: share of the values below m/100, zeros included, in [0, 1).
        share_error: likewise.
        entropy: −Σ p_i ln p_i / ln n with p_i = x_i / Σx, in [0, 1]: 1 for equal values, 0 if one has all.
            NaN for n = 1.
        histogram: counts: below the first bin, one for each third of a decade, above the last one
            (`dither.core.histogram`); zeros are in none.

    Reference:
        Y. Zhang, H. Zhang, S. Wang, W. Wu and Z. Li (2022), "PATS: Sensitivity-aware Noisy Learning for
        Pretrained Language Models", doi 10.18653/v1/2022.emnlp-main.241, asks how concentrated sensitivities
        are. Only its abstract was at hand; these measures are our choice.
    """

    count: int
    zeros: int
    nonfinite: int
    mean: float
    gini: float
    gini_error: float
    share: float
    share_error: float
    entropy: float
    histogram: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Sketch:
    """Counts and sums over some nonnegative values; those of a union are added.

    Values count as rounded to float32. A fine histogram (130,560 bins by the leading 9 bits of the mantissa,
    2 MiB) holds the count and the sum of each bin; Σ x ln x is exact beside it, and the bins of
    `dither.core.histogram` are.

    Attributes:
        nonfinite: how many values are NaN or infinite.
        zeros: how many are exactly 0.
        counts: of each fine bin, int64, zeros left out.
        sums: Σ x of each fine bin, float64.
        logs: Σ x ln x, float64.
        histogram: see `Concentration`.

    Example:
        >>> import torch
        >>> parts = Sketch.of(torch.tensor([1.0, 1.0])) + Sketch.of(torch.tensor([0.0, 0.0]))
        >>> found = parts.concentration()
        >>> (found.count, found.zeros, found.mean, round(found.entropy, 6)), abs(found.gini - 0.5) < 0.001
        ((4, 2, 0.5, 0.5), True)
    """

    nonfinite: int
    zeros: int
    counts: Counts = field(repr=False)
    sums: Floats = field(repr=False)
    logs: float
    histogram: Counts = field(repr=False)

    @classmethod
    def empty(cls) -> "Sketch":
        """Of no values."""
        return cls(0, 0, np.zeros(_BINS, np.int64), np.zeros(_BINS), 0.0, np.zeros(len(EDGES) + 1, np.int64))

    @classmethod
    def of(cls, values: Tensor) -> "Sketch":
        """Of all elements of a tensor, block by block on the CPU.

        Args:
            values: nonnegative, of any shape, floating dtype and device: sensitivities, moving averages, ...

        Raises:
            ValueError: a value is negative, or the tensor is sharded (DTensor), which is not supported here.
        """
        sketch = cls.empty()
        nonfinite, zeros, logs = 0, 0, 0.0
        for block in _blocks(values):
            finite = block[np.isfinite(block)]
            positive = finite[finite > 0]
            nonfinite, zeros = nonfinite + block.size - finite.size, zeros + finite.size - positive.size
            bins, wide = positive.view(np.int32) >> _SHIFT, positive.astype(np.float64)
            sketch.counts[:] += np.bincount(bins, minlength=_BINS)
            sketch.sums[:] += np.bincount(bins, weights=wide, minlength=_BINS)
            sketch.histogram[:] += LogCounts.of(torch.from_numpy(positive)).bins.astype(np.int64)
            logs += float((wide * np.log(wide)).sum())
        return replace(sketch, nonfinite=nonfinite, zeros=zeros, logs=logs)

    def __add__(self, other: "Sketch") -> "Sketch":
        return Sketch(
            self.nonfinite + other.nonfinite,
            self.zeros + other.zeros,
            self.counts + other.counts,
            self.sums + other.sums,
            self.logs + other.logs,
            self.histogram + other.histogram,
        )

    def concentration(self) -> Concentration:
        """The measures, each with its bound; the entropy's error is rounding alone (below 1e-9).

        Gini: the bins' own order gives a part exactly; within a bin from a to b with mean μ it is at most
        (b−μ)(μ−a)/(μ(b−a)) (Gastwirth 1972). The middle of both ends is returned, with half their distance.
        The share is exact but for the elements in the bin of m/100, half of which count.

        Reference:
            J. L. Gastwirth (1972), "The Estimation of the Lorenz Curve and Gini Index", The Review of
            Economics and Statistics 54 (3), doi 10.2307/1937992.
        """
        n, total = self.zeros + int(self.counts.sum()), float(self.sums.sum())
        mean = total / n if n else math.nan
        known = not self.nonfinite and total > 0
        gini, gini_error = self._gini(n, total) if known else (math.nan, math.nan)
        share, share_error = self._share(n, SMALL * mean) if known else (math.nan, math.nan)
        return Concentration(
            count=n + self.nonfinite,
            zeros=self.zeros,
            nonfinite=self.nonfinite,
            mean=math.nan if self.nonfinite else mean,
            gini=gini,
            gini_error=gini_error,
            share=share,
            share_error=share_error,
            entropy=self._entropy(n, total) if known and n > 1 else math.nan,
            histogram=tuple(self.histogram.tolist()),
        )

    def _entropy(self, n: int, total: float) -> float:
        return min(1.0, max(0.0, (math.log(total) - self.logs / total) / math.log(n)))

    def _gini(self, n: int, total: float) -> tuple[float, float]:
        used = np.flatnonzero(self.counts)
        counts, sums, low, high = self.counts[used], self.sums[used], _EDGES[used], _EDGES[used + 1]
        cumulated = np.cumsum(sums)
        # One minus twice the area under the Lorenz curve through the bins; the zeros are flat at its start.
        between = 1.0 - float((counts / n * (2.0 * cumulated - sums) / total).sum())
        means = sums / counts
        within = np.maximum(0.0, (high - means) * (means - low)) / (means * (high - low))
        within[counts == 1] = 0.0
        gap = float((counts / n * (sums / total) * within).sum())
        return max(0.0, between) + gap / 2, gap / 2

    def _share(self, n: int, limit: float) -> tuple[float, float]:
        at = int(np.searchsorted(_EDGES, limit, side="right")) - 1  # the bin that holds the limit
        inside = int(self.counts[at]) if _EDGES[at] < limit else 0
        below = self.zeros + int(self.counts[:at].sum())
        return (below + inside / 2) / n, inside / 2 / n


def concentration(values: Tensor) -> Concentration:
    """The measures of one tensor in memory, all exact: its elements are sorted in float64.

    Args:
        values: nonnegative, of any shape, floating dtype and device: sensitivities, moving averages, ...

    Raises:
        ValueError: a value is negative, or the tensor is sharded (DTensor), which is not supported here.

    Example:
        >>> import torch
        >>> found = concentration(torch.tensor([0.0, 0.0, 0.0, 8.0]))
        >>> found.gini, found.share, found.entropy
        (0.75, 0.75, 0.0)
    """
    found = Sketch.of(values).concentration()
    if math.isnan(found.gini):
        return found
    ordered = np.sort(np.concatenate([block.astype(np.float64) for block in _blocks(values)]))
    n, total = ordered.size, float(ordered.sum())
    ranks = 2.0 * np.arange(1, n + 1) - n - 1
    return replace(
        found,
        gini=max(0.0, float(ranks @ ordered) / (n * total)),
        gini_error=0.0,
        share=float(np.count_nonzero(ordered < SMALL * total / n)) / n,
        share_error=0.0,
    )


def _blocks(values: Tensor) -> Iterator[NDArray[np.float32]]:
    """The elements as float32 on the CPU, some at a time."""
    if is_sharded(values):
        raise ValueError("the values of a sharded tensor (DTensor) are not supported; pass full_tensor()")
    flat = values.detach().reshape(-1)
    for at in range(0, flat.numel(), _BLOCK):
        block = flat[at : at + _BLOCK].float().cpu().numpy()
        if (block < 0).any():
            raise ValueError(
                f"values hold {float(block[block < 0][0])}; they must be >= 0 to have a concentration: "
                "take |w·g|, or the absolute values"
            )
        yield block


# Bit patterns of nonnegative float32 numbers have the order of the numbers.
_EDGES: Floats = (np.arange(_BINS + 1, dtype=np.int32) << _SHIFT).view(np.float32).astype(np.float64)
_EDGES[-1] = 2.0**128  # where infinity would stand
