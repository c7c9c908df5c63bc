"""The tables of curves: a row for each value, the difference to plain drawn beside its number."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dither.cli.numbers import WIDE, Reasons
from dither.cli.tables import new_table
from dither.stats.formats import interval_text, number, p_text, signed

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.sweeps.curves import CurvePoint

_CELLS = 25  # of a drawn interval


def curve_table(
    points: "Sequence[CurvePoint]", title: str, reasons: Reasons, *, width: int, named: bool = False
) -> "Table":
    """A row for each point of curves that share their settings.

    Args:
        points: at least one.
        title: of the table.
        reasons: that verdicts refer to.
        width: of the terminal; a narrow one gets no drawing and fewer numbers.
        named: say which arm each point is of, and how many tasks it is over; else the values say it all.
    """
    from dither.bench.compare import BASELINE

    wide = width >= WIDE
    settings, fixed = _told_apart(points)
    title = f"{title} ({fixed})" if fixed else title
    rows, scale = "train_fraction" in settings, _scale(points)
    tests, plain = ("pairs", "p") if wide else (), wide or len(settings) + rows < 2
    headings = (
        *(("method", "tasks") if named else ()),
        *settings,
        *(("rows",) if rows else ()),
        *(("plain",) if plain else ()),
        *("score", "difference", "interval", *tests),
        *((f"±{scale:.2g}",) if wide else ()),
        "verdict",
    )
    table = new_table(title, headings)
    fold_headings(table, settings)
    if wide:
        table.columns[-2].justify = "left"  # its spaces count
    for point in points:
        low, high = point.interval
        table.add_row(
            *((point.arm, str(len(point.tasks))) if named else ()),
            *("–" if point.values[name] is None else str(point.values[name]) for name in settings),
            *(("–" if point.rows is None else str(point.rows),) if rows else ()),
            *((number(point.baseline_mean, ".1f"),) if plain else ()),
            *(number(point.mean, ".1f"), signed(point.difference)),
            interval_text(point.interval),
            *((str(point.pairs), p_text(point.p)) if wide else ()),
            *((drawn(low, point.difference, high, scale),) if wide else ()),
            "plain itself" if point.arm == BASELINE else reasons.cell(point.verdict),
        )
    return table


def fold_headings(table: "Table", settings: "Sequence[str]") -> None:
    """Let the long names above short values go on in a second line, so that no number is cut."""
    for column in table.columns:
        if column.header in settings:
            column.no_wrap, column.overflow = False, "fold"


def _told_apart(points: "Sequence[CurvePoint]") -> tuple[list[str], str]:
    """The settings in which points differ, one at least, and in words those that are the same in all."""
    values = points[0].values
    differ = [name for name in values if len({repr(point.values[name]) for point in points}) > 1]
    differ = differ or list(values)[:1]
    return differ, ", ".join(f"{name} {value}" for name, value in values.items() if name not in differ)


def _scale(points: "Sequence[CurvePoint]") -> float:
    """The points from the middle of a drawing to its ends: no interval is cut off."""
    ends = [abs(end) for point in points for end in (*point.interval, point.difference) if math.isfinite(end)]
    return max(ends, default=0.0) or 1.0


def drawn(low: float, value: float, high: float, scale: float) -> str:
    """An interval on a line from -scale to scale, with 0 in the middle.

    Example:
        >>> drawn(0.5, 0.75, 1.0, 1.0)
        '            │     ├──●──┤'
        >>> drawn(-1.0, 0.0, 0.25, 1.0)
        '├───────────●──┤         '
    """
    if not math.isfinite(value):
        return " " * _CELLS
    middle = _CELLS // 2
    ends = (low, high) if math.isfinite(low) and math.isfinite(high) else (value, value)
    first, at, last = (middle + round(middle * point / scale) for point in (ends[0], value, ends[1]))
    cells = [" "] * _CELLS
    cells[middle] = "│"
    for cell in range(first, last + 1):
        cells[cell] = "┼" if cell == middle else "─"
    if first < last:
        cells[first], cells[last] = "├", "┤"
    cells[at] = "●"
    return "".join(cells)
