"""Numbers as JSON has them."""

import math


def finite(value: float | None) -> float | None:
    """The number, or None where there is none: JSON knows neither NaN nor infinity.

    Example:
        >>> finite(1.5), finite(float("nan")), finite(None)
        (1.5, None, None)
    """
    return float(value) if value is not None and math.isfinite(value) else None
