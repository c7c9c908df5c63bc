"""How every picture looks: colours that colour-blind readers tell apart, a shape beside every colour.

Text, axes and grid take the colour of the text around the picture, so that light, dark and printed pages
need no picture of their own.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

PLAIN, PLAIN_COLOUR = "none", "#767676"
METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito (2008); more methods than these begin again, with other shapes."""

GAIN, LOSS, WITHIN, OPEN, NOTHING = "#0072B2", "#D55E00", "#009E73", "#CC79A7", PLAIN_COLOUR
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

INK = "currentColor"
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": INK,
        "gridOpacity": 0.14, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500,
        "labelLimit": 260,
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


def slug(*parts: str) -> str:
    """An id for the page and for files: lower case, digits and hyphens.

    Example:
        >>> slug("curve", "glue/rte@epochs=3")
        'curve-glue-rte-epochs-3'
    """
    text = "".join(char.lower() if char.isascii() and char.isalnum() else "-" for char in "-".join(parts))
    return "-".join(word for word in text.split("-") if word)[:80]
