"""A histogram of positive numbers over fixed bins, equally wide in logarithms: counts can be added."""

import numpy as np
from numpy.typing import NDArray

FIRST, DECADES, PER_DECADE = -18, 20, 3

EDGES: NDArray[np.float64] = 10.0 ** (FIRST + np.arange(DECADES * PER_DECADE + 1) / PER_DECADE)
"""The 61 edges of 60 bins, from 1e-18 to 100, three bins to a decade; a bin holds its lower edge."""


def log_histogram(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count positive numbers.

    Args:
        values: positive, of shape (n,).

    Returns:
        int64 (62,): below the first edge, in each bin, from the last edge on.

    Example:
        >>> found = log_histogram(np.array([1e-20, 1.0, 2.0, 3.0, 1e6]))
        >>> int(found[0]), [int(count) for count in found[55:58]], int(found[-1])
        (1, [2, 1, 0], 1)
    """
    return np.bincount(np.searchsorted(EDGES, values, side="right"), minlength=len(EDGES) + 1)
