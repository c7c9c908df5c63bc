"""Markdown tables and the numbers in them."""

from collections.abc import Sequence

NOTHING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    line = " | ".join
    return [
        f"| {line(head)} |",
        f"| --- |{' ---: |' * (len(head) - 1)}",
        *(f"| {line(row)} |" for row in rows),
    ]


def number(value: float | None, digits: int = 3) -> str:
    """A number with as many digits as can be told apart, or a dash.

    Example:
        >>> number(0.54321), number(12345.6), number(None)
        ('0.543', '12346', '–')
    """
    if value is None:
        return NOTHING
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(0, digits - whole)}f}" if abs(value) >= 10**-digits else f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A share in percent.

    Example:
        >>> share(0.7345)
        '73 %'
    """
    return NOTHING if value is None else f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"


def times(value: float | None) -> str:
    """A ratio.

    Example:
        >>> times(1.6543)
        '1.65 ×'
    """
    return NOTHING if value is None else f"{number(value)} ×"


def size(value: float | None) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> size(3 * 2**20), size(0)
        ('3.0 MiB', '0.0 MiB')
    """
    if value is None:
        return NOTHING
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB"


def count(value: int) -> str:
    """A number of elements.

    Example:
        >>> count(109_482_240), count(1000)
        ('109.5 million', '1,000')
    """
    return f"{value / 1e6:.1f} million" if value >= 1e6 else f"{value:,}"
