"""How sensitivities are spread, and how they moved while training: a line for each method."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from dither.core.histogram import EDGES, log_quantile
from dither.report.arms import Arm, Row, Spread, by_key, mean, spread_of, types_in_order
from dither.report.content import Column, Figure, Table
from dither.report.style import base, method_scale, slug, spec

PANEL = {"width": 190, "height": 120}
DASHES = (
    [1, 0],
    [7, 3],
    [3, 3],
    [9, 3, 2, 3],
    [2, 2],
    [12, 4],
)  # lines that coincide show each other's colour
NOTICED = 1e-3
"""The least share of a type's elements that the axis makes room for; tables have all of them."""
WHOLE = "whole model"
METHOD, TYPE, RUNS = Column("method", "method"), Column("type", "type"), Column("runs", "runs", "d")
SHARES = (
    Column("low", "from", ".2e"),
    Column("high", "to", ".2e"),
    Column("share", "share of elements", ".5f"),
    Column("zeros", "share of zeros", ".4f"),
    RUNS,
)
PHASE = (
    Column("phase", "phase", "d"),
    Column("first", "first step", "d"),
    Column("last", "last step", "d"),
    Column("progress", "% of training", ".1f"),
)
QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def distributions(arms: Sequence[Arm], methods: Sequence[str], source: str, what: str) -> Iterator[Figure]:
    """The shares of elements per bin: of the whole model, and of each type.

    Args:
        arms: of one task.
        methods: all of the page, in their order.
        source: the part of the measurements that has histograms, "sensitivity" or "average".
        what: what was measured, for titles.
    """
    spreads = {(arm.method, WHOLE): spread_of(_runs(arm, source)) for arm in arms}
    if not (whole := _in_rows(spreads)):
        return
    task = arms[0].task
    title = f"Distribution of {what}: {task}"
    table = Table(slug("distribution", task), title, (METHOD, *SHARES), tuple(whole))
    yield Figure(table, spec(_lines(whole, methods, what), height=260), _medians(spreads))
    types = types_in_order(row["type"] for arm in arms for rows in _runs(arm, source) for row in rows)
    of_types = [
        row
        for kind in types
        for row in _in_rows({(arm.method, kind): spread_of(_runs(arm, source, kind)) for arm in arms})
    ]
    table = Table(
        slug("distribution-types", task), f"{title}, by type", (TYPE, METHOD, *SHARES), tuple(of_types)
    )
    summary = f"The same for each of {len(types)} types of parameters, a panel each."
    yield Figure(table, _panels(_lines(of_types, methods, what), types), summary, wide=True)


def movements(arms: Sequence[Arm], methods: Sequence[str]) -> Iterator[Figure]:
    """The quantiles of |w·g| in each phase of training, and the mean of each type.

    Args:
        arms: of one task.
        methods: all of the page, in their order.
    """
    rows = [row for arm in arms for row in _phases(arm)]
    if not rows:
        return
    task = arms[0].task
    quantiles = (
        Column("low", "10 %", ".3e"), Column("median", "median", ".3e"), Column("high", "90 %", ".3e"),
        Column("zeros", "share of zeros", ".4f"), RUNS,
    )  # fmt: skip
    title = f"Sensitivity while training: {task}"
    table = Table(slug("movement", task), title, (METHOD, *PHASE, *quantiles), tuple(rows))
    yield Figure(table, spec(_quantiles(rows, methods), height=260), _course(rows))
    of_types = [row for arm in arms for row in _phase_means(arm)]
    types = types_in_order(row["type"] for row in of_types)
    columns = (TYPE, METHOD, *PHASE, Column("mean", "mean |w·g|", ".3e"), RUNS)
    table = Table(
        slug("movement-types", task), f"Mean sensitivity while training: {task}, by type", columns,
        tuple(of_types),
    )  # fmt: skip
    summary = f"The mean of |w·g| in each phase, for each of {len(types)} types of parameters, a panel each."
    yield Figure(table, _panels(_means(of_types, methods), types, own_y=True), summary, wide=True)


def _runs(arm: Arm, source: str, kind: str | None = None) -> list[list[Row]]:
    """Of each run the rows of all types, or of one."""
    runs = [found.get("types", []) for found in arm.measured(source)]
    return [[row for row in rows if kind in (None, row["type"])] for rows in runs]


def _in_rows(spreads: dict[tuple[str, str], Spread | None]) -> list[Row]:
    """A row for each bin, from the first to one behind the last in which any has elements."""
    known = {key: spread for key, spread in spreads.items() if spread is not None}
    used = [place for spread in known.values() for place in spread.bins.nonzero()[0].tolist()]
    if not used:
        return []
    edges = [None, *EDGES.tolist(), None]
    return [
        {
            "method": method,
            "type": kind,
            "low": edges[place],
            "high": edges[place + 1],
            "share": float(spread.bins[place]),
            "zeros": spread.zeros,
            "runs": spread.runs,
        }
        for (method, kind), spread in known.items()
        for place in range(min(used), min(max(used) + 2, len(edges) - 1))
    ]


def _medians(spreads: dict[tuple[str, str], Spread | None]) -> str:
    told = [
        f"{method} {log_quantile(spread.bins, 0.5):.1e}, {spread.zeros:.0%} zeros"
        for (method, _), spread in spreads.items()
        if spread is not None and spread.bins.any()
    ]
    return f"Medians of what is above 0: {'; '.join(told)}."


def _course(rows: Sequence[Row]) -> str:
    told = []
    for (method,), own in by_key(rows, "method"):
        known = [row["median"] for row in own if row["median"] is not None]
        if known:
            told.append(f"{method} from {known[0]:.1e} to {known[-1]:.1e}")
    return f"Medians of |w·g| above 0, from the first phase of training to the last: {'; '.join(told)}."


def _phases(arm: Arm) -> Iterator[Row]:
    for place, rows in _by_phase(arm):
        spread = spread_of([row["types"] for row in rows])
        if spread is None:
            continue
        quantiles: Row = {
            name: log_quantile(spread.bins, part) if spread.bins.any() else None
            for name, part in QUANTILES.items()
        }
        yield {"method": arm.method, **place, **quantiles, "zeros": spread.zeros, "runs": spread.runs}


def _phase_means(arm: Arm) -> Iterator[Row]:
    for place, rows in _by_phase(arm):
        for kind in types_in_order(row["type"] for phase in rows for row in phase["types"]):
            means = [_weighted([row for row in phase["types"] if row["type"] == kind]) for phase in rows]
            yield {
                "method": arm.method, "type": kind, **place, "mean": mean(means), "runs": len(means)
            }  # fmt: skip


def _by_phase(arm: Arm) -> list[tuple[Row, list[Row]]]:
    """Each phase: its number and steps, and what each run found in it."""
    found: dict[tuple[int, int], list[Row]] = {}
    for trace in arm.measured("trace"):
        for row in trace:
            found.setdefault((row["first"], row["last"]), []).append(row)
    total = max((last for _, last in found), default=0)
    return [
        (
            {"phase": number, "first": first, "last": last, "progress": 50 * (first - 1 + last) / total},
            rows,
        )
        for number, ((first, last), rows) in enumerate(sorted(found.items()), start=1)
    ]


def _weighted(rows: Sequence[Row]) -> float | None:
    count = sum(row["count"] for row in rows)
    return sum(row["mean"] * row["count"] for row in rows) / count if count else None


def _lines(rows: Sequence[Row], methods: Sequence[str], what: str) -> Any:
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
            **_method(rows, methods),
        )
    )


def _quantiles(rows: Sequence[Row], methods: Sequence[str]) -> Any:
    """Medians, between thin lines at 10 and 90 %."""
    ends = [pick(row[name] for row in rows if row[name]) for pick, name in ((min, "low"), (max, "high"))]
    scale = alt.Scale(type="log", domain=[ends[0] / 1.3, ends[1] * 1.3], nice=False)
    axis = alt.Axis(format=".0e", values=_decades(*scale.domain))
    line = _over_training(rows, methods)
    return alt.layer(*(
        line.mark_line(strokeWidth=width, point=name == "median").encode(
            y=alt.Y(f"{name}:Q", scale=scale, axis=axis, title="|w·g|: 10 %, median, 90 %")
        )
        for name, width in (("low", 1), ("high", 1), ("median", 2.4))
    ))  # fmt: skip


def _means(rows: Sequence[Row], methods: Sequence[str]) -> Any:
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
    return base().encode(x=x, tooltip=["method:N", "first:Q", "last:Q"], **_method(rows, methods))


def _method(rows: Sequence[Row], methods: Sequence[str]) -> dict[str, Any]:
    """A colour and a dash for each method; the legend has those of the rows."""
    shown = [name for name in methods if name in {row["method"] for row in rows}]
    legend = alt.Legend(title=None, orient="top", values=shown, symbolType="stroke", symbolSize=300)
    dashes = [DASHES[at % len(DASHES)] for at in range(len(methods))]
    scale = alt.Scale(domain=list(methods), range=dashes)
    return {
        "color": alt.Color("method:N", scale=method_scale(methods), legend=legend),
        "strokeDash": alt.StrokeDash("method:N", scale=scale, legend=legend),
    }


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, seven at most; of less than two decades 1, 2 and 5 of each."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 7))
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1, every) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _panels(chart: Any, types: Sequence[str], *, own_y: bool = False) -> dict[str, Any]:
    """The chart for each type by itself, three beside each other."""
    facet = alt.Facet("type:N", sort=list(types), title=None)
    panels = chart.properties(**PANEL).facet(facet, columns=3)
    found: dict[str, Any] = (panels.resolve_scale(y="independent") if own_y else panels).to_dict()
    found.pop("config", None)
    return found
