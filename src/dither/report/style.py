"""How every picture looks: colours that colour-blind readers tell apart, a shape beside every colour.

Text, axes and grid take the colour of the text around the picture, so that light, dark and printed pages
need no picture of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

PLAIN, PLAIN_COLOUR = "none", "#767676"
METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito (2008); more methods than these begin again, with other shapes and dashes."""

GAIN, LOSS, WITHIN, OPEN, NOTHING = "#0072B2", "#D55E00", "#009E73", "#CC79A7", PLAIN_COLOUR
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

DASHES = ([1, 0], [7, 3], [3, 3], [9, 3, 2, 3], [2, 2], [12, 4], [5, 2, 1, 2])
"""Of lines, so that those that coincide show each other's colour; not as many as colours and plain."""

INK = "currentColor"
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": INK,
        "gridOpacity": 0.14, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500,
        "labelLimit": 320,
    },
    "legend": {
        "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "orient": "top",
        "titleFontWeight": 500, "labelLimit": 260, "symbolStrokeWidth": 2,
    },
    "header": {"labelColor": INK, "titleColor": INK},
    "title": {"color": INK},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": INK},
}  # fmt: skip
"""Vega-Lite's configuration of every picture, on the page and on disk."""


def base() -> alt.Chart:
    """A chart of the rows of its table, which it gets where it is drawn."""
    return alt.Chart(alt.NamedData("rows"))


def spec(chart: Any, *, height: int | alt.Step) -> dict[str, Any]:
    """Vega-Lite of a chart as wide as the place it stands in.

    Args:
        chart: over `base()`.
        height: pixels, or an `alt.Step` for each row of a discrete axis.
    """
    sized = chart.properties(width="container", height=height, autosize=alt.AutoSizeParams(type="fit-x"))
    found: dict[str, Any] = sized.to_dict()
    found.pop("config", None)
    return found


def arms_on_y(*, tasks: bool) -> tuple[alt.Y, alt.Step]:
    """An axis with a place for each arm, in the order of the rows, and how high a place is.

    Args:
        tasks: the field `arm` is "task, method", and not the method alone.
    """
    label = "split(datum.label, ', ')" if tasks else "datum.label"
    axis = alt.Axis(labelExpr=label, labelOffset=-7 if tasks else 0)  # two lines stand around their place
    return alt.Y("arm:N", title=None, sort=None, axis=axis), alt.Step(32 if tasks else 22)


def zero_line(axis: str) -> alt.Chart:
    """A dashed line at 0, which is plain fine-tuning.

    Args:
        axis: "x" or "y".
    """
    one = alt.Chart(alt.sequence(1))  # a line needs data to be drawn once
    return one.mark_rule(aria=False, strokeDash=[4, 3], opacity=0.75).encode(**{axis: alt.datum(0)})


def method_scale(methods: Sequence[str]) -> alt.Scale:
    """Colours of methods: plain fine-tuning is grey, the others keep theirs from picture to picture.

    Args:
        methods: all of the page, in their order.
    """
    others = [name for name in methods if name != PLAIN]
    colours = {name: METHOD_COLOURS[at % len(METHOD_COLOURS)] for at, name in enumerate(others)}
    return alt.Scale(domain=list(methods), range=[colours.get(name, PLAIN_COLOUR) for name in methods])


def shape_scale(methods: Sequence[str]) -> alt.Scale:
    """Shapes of methods, to stand beside their colours."""
    return alt.Scale(domain=list(methods), range=[SHAPES[at % len(SHAPES)] for at in range(len(methods))])


def method_lines(methods: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A colour and a dash for the line of each method, and one legend for both.

    Args:
        methods: all of the page, in their order.
        rows: of the picture; the legend has their methods.
    """
    shown = {row["method"] for row in rows}
    known = [name for name in methods if name in shown]
    legend = alt.Legend(
        title=None, values=known, symbolType="stroke", symbolSize=300, symbolOpacity=1, symbolStrokeWidth=2
    )
    dashes = alt.Scale(domain=list(methods), range=[DASHES[at % len(DASHES)] for at in range(len(methods))])
    return {
        "color": alt.Color("method:N", scale=method_scale(methods), legend=legend),
        "strokeDash": alt.StrokeDash("method:N", scale=dashes, legend=legend),
    }


def slug(*parts: str) -> str:
    """An id for the page and for files: lower case, digits and hyphens.

    Example:
        >>> slug("curve", "glue/rte@epochs=3")
        'curve-glue-rte-epochs-3'
    """
    text = "".join(char.lower() if char.isascii() and char.isalnum() else "-" for char in "-".join(parts))
    return "-".join(word for word in text.split("-") if word)[:80]
