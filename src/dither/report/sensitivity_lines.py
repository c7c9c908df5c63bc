"""The lines of the atlas: a colour and a dash for each method, over sensitivity or over training."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from dither.report.arms import Row
from dither.report.style import base, method_lines

PANEL = {"width": 190, "height": 120}
NOTICED = 1e-3
"""The least share of a type's elements that the axis makes room for; tables have all of them."""


def lines(rows: Sequence[Row], methods: Sequence[str], what: str) -> Any:
    """Steps over the bins, each from its lower edge."""
    noticed = [row for row in rows if row["low"] and row["high"] and row["share"] >= NOTICED]
    ends = [min(row["low"] for row in noticed), max(row["high"] for row in noticed)] if noticed else [1e-9, 1]
    x = alt.Scale(type="log", domain=ends, nice=False)
    return (
        base()
        .transform_filter("isValid(datum.low)")
        .mark_line(interpolate="step-after", strokeWidth=1.8, clip=True)
        .encode(
            x=alt.X("low:Q", scale=x, title=what, axis=alt.Axis(format=".0e", values=_decades(*ends))),
            y=alt.Y("share:Q", title="share of elements", axis=alt.Axis(format="%", tickCount=4)),
            tooltip=["method:N", alt.Tooltip("low:Q", format=".2e"), alt.Tooltip("share:Q", format=".2%")],
            **method_lines(methods, rows),
        )
    )


def quantiles(rows: Sequence[Row], methods: Sequence[str]) -> Any:
    """Medians, between thin lines at 10 and 90 %."""
    known = [row for row in rows if row["median"] is not None] or [{"low": 1e-9, "high": 1.0}]
    ends = [min(row["low"] for row in known), max(row["high"] for row in known)]
    scale = alt.Scale(type="log", domain=[ends[0] / 1.3, ends[1] * 1.3], nice=False)
    axis = alt.Axis(format=".0e", values=_decades(*scale.domain))
    line = _over_training(rows, methods)
    return alt.layer(*(
        line.mark_line(strokeWidth=width, point=name == "median").encode(
            y=alt.Y(f"{name}:Q", scale=scale, axis=axis, title="|w·g|: 10 %, median, 90 %")
        )
        for name, width in (("low", 1), ("high", 1), ("median", 2.4))
    ))  # fmt: skip


def means(rows: Sequence[Row], methods: Sequence[str]) -> Any:
    """Means over training, on a logarithmic axis."""
    y = alt.Scale(type="log", nice=False, padding=8)
    return (
        _over_training(rows, methods)
        .transform_filter("isValid(datum.mean) && datum.mean > 0")
        .mark_line(strokeWidth=1.8)
        .encode(y=alt.Y("mean:Q", scale=y, title="mean |w·g|", axis=alt.Axis(format=".1e", tickCount=3)))
    )


def _over_training(rows: Sequence[Row], methods: Sequence[str]) -> alt.Chart:
    x = alt.X(
        "progress:Q", scale=alt.Scale(domain=[0, 100]), title="% of training", axis=alt.Axis(tickCount=5)
    )
    return base().encode(x=x, tooltip=["method:N", "first:Q", "last:Q"], **method_lines(methods, rows))


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, seven at most; of less than two decades 1, 2 and 5 of each."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 7))
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1, every) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def panels(chart: Any, types: Sequence[str], *, own_y: bool = False) -> dict[str, Any]:
    """The chart for each type by itself, three beside each other."""
    facet = alt.Facet("type:N", sort=list(types), title=None)
    panels = chart.properties(**PANEL).facet(facet, columns=3)
    found: dict[str, Any] = (panels.resolve_scale(y="independent") if own_y else panels).to_dict()
    found.pop("config", None)
    return found
