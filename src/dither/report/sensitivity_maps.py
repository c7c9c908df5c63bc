"""Maps of a model: layers against types of parameters, coloured by what was measured or added there."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import altair as alt

from dither.report.arms import Arm, Row, by_key, mean, part_of, parts_in_order, types_in_order
from dither.report.content import Column, Figure, Table
from dither.report.style import INK, base, slug, spec

SCHEME: Literal["viridis"] = "viridis"  # rises in lightness, so it is read without colours too
CELLS = (Column("part", "part"), Column("type", "type of parameter"))
ELEMENTS = Column("elements", "elements", "d")
RUNS = Column("runs", "runs", "d")


def sensitivity_maps(arms: Sequence[Arm], source: str, what: str) -> Iterator[Figure]:
    """The mean of sensitivities and their Gini coefficient, a map of each for each arm that was measured.

    Args:
        arms: of one task; a colour means the same in the maps of all.
        source: the part of the measurements that has them, "sensitivity" or "average".
        what: what they are, for titles.
    """
    all_cells = {arm: _cells(arm, source) for arm in arms}
    cells = {arm: rows for arm, rows in all_cells.items() if any(row["mean"] for row in rows)}
    columns = (
        *CELLS,
        Column("mean", f"mean of {what}", ".3e"),
        Column("gini", "Gini", ".3f"),
        ELEMENTS,
        RUNS,
    )
    means = [row["mean"] for rows in cells.values() for row in rows if row["mean"]]
    for arm, rows in cells.items():
        for value, id, title, form in (
            ("mean", "map", f"Mean of {what}", ".1e"),
            ("gini", "gini", f"Gini coefficient of {what}", ".2f"),
        ):
            place = f"{title}: {arm.task}, {arm.method}"
            table = Table(slug(id, arm.task, arm.method), place, columns, tuple(rows))
            scale = _scale([min(means), max(means)], log=True) if value == "mean" else _scale([0, 1])
            picture = _map(rows, Column(value, title, form), scale)
            yield Figure(table, picture, _summary(rows, value, title, form))


def noise_maps(arms: Sequence[Arm]) -> Iterator[Figure]:
    """The noise that each part got, relative to its weights; a map for each arm that has noise.

    Args:
        arms: of one task; a colour means the same in the maps of all.
    """
    cells = {arm: _mean_cells(arm.records(), _noise_cell) for arm in arms}
    ratios = [row["ratio"] for rows in cells.values() for row in rows if row["ratio"]]
    columns = (
        *CELLS,
        Column("ratio", "noise / std", ".4f"),
        Column("effective", "noise, root mean square", ".3e"),
        Column("std", "std of the weights", ".3e"),
        ELEMENTS,
        RUNS,
    )
    for arm, rows in cells.items():
        if any(row["ratio"] for row in rows):
            title = f"Noise relative to the weights: {arm.task}, {arm.method}"
            table = Table(slug("noise-map", arm.task, arm.method), title, columns, tuple(rows))
            picture = _map(rows, Column("ratio", "noise / std", ".3f"), _scale([0, max(ratios)]))
            yield Figure(table, picture, _summary(rows, "ratio", "Noise over std", ".3g"))


def _cells(arm: Arm, source: str) -> list[Row]:
    runs = [found.get("tensors", []) for found in arm.measured(source)]
    return _mean_cells([[row | {"part": part_of(row["name"])} for row in rows] for rows in runs], _cell)


def _mean_cells(runs: Sequence[Sequence[Row]], numbers: Callable[[list[Row]], Row]) -> list[Row]:
    """Of each part and type a row, with means over the runs."""
    cells = [
        {"part": part, "type": kind, **numbers(rows)}
        for run in runs
        for (part, kind), rows in by_key(run, "part", "type")
    ]
    found = []
    for (part, kind), rows in by_key(cells, "part", "type"):
        names = [name for name in rows[0] if name not in ("part", "type", "elements")]
        means = {name: mean(row[name] for row in rows) for name in names}
        numbers_of = {"elements": rows[0]["elements"], "runs": len(rows)}
        found.append({"part": part, "type": kind, **means, **numbers_of})
    return found


def _cell(rows: list[Row]) -> Row:
    """Over the tensors of a cell; the Gini is the mean of theirs, by elements, where it is known."""
    count = sum(row["count"] for row in rows)
    known = [row for row in rows if row["gini"] is not None and math.isfinite(row["gini"])]
    size = sum(row["count"] for row in known)
    gini = sum(row["gini"] * row["count"] for row in known) / size if size else None
    return {
        "mean": sum(row["mean"] * row["count"] for row in rows) / count if count else None,
        "gini": gini,
        "elements": count,
    }


def _noise_cell(rows: list[Row]) -> Row:
    """Root mean squares over the elements that got noise."""
    noised = [row for row in rows if row["reason"] is None]
    size = sum(row["elements"] for row in noised)
    effective, std = (
        math.sqrt(sum((row[name] or 0.0) ** 2 * row["elements"] for row in noised) / size) if size else None
        for name in ("effective", "std")
    )
    ratio = effective / std if effective is not None and std else None
    return {"ratio": ratio, "effective": effective, "std": std, "elements": size}


def _scale(ends: Sequence[float], *, log: bool = False) -> alt.Scale:
    return alt.Scale(scheme=SCHEME, domain=list(ends), type="log" if log else "linear", nice=False)


def _map(rows: Sequence[Row], value: Column, scale: alt.Scale) -> dict[str, Any]:
    """A cell for each part and type; what is unknown, or 0 on a logarithmic scale, stays empty.

    What the colours mean stands above the picture.
    """
    parts = parts_in_order(row["part"] for row in rows)
    types = types_in_order(row["type"] for row in rows)
    x, y = alt.Scale(domain=types), alt.Scale(domain=parts)
    bare = alt.Axis(domain=False, ticks=False, labelPadding=6)
    legend = alt.Legend(title=None, format=".0e" if value.name == "mean" else ".2~g", gradientLength=240)
    known = f"isValid(datum.{value.name})" + (f" && datum.{value.name} > 0" if value.name == "mean" else "")
    chart = (
        base()
        .transform_filter(known)
        .mark_rect(stroke=INK, strokeOpacity=0.3, strokeWidth=0.5)
        .encode(
            x=alt.X("type:N", scale=x, title=None, axis=alt.Axis(labelAngle=-40, domain=False, ticks=False)),
            y=alt.Y("part:N", scale=y, title="layer", axis=bare),
            color=alt.Color(f"{value.name}:Q", scale=scale, legend=legend),
            tooltip=["part:N", "type:N", alt.Tooltip(f"{value.name}:Q", format=".3g"), "elements:Q"],
        )
    )
    return spec(chart, height=alt.Step(20 if len(parts) <= 30 else 9))


def _summary(rows: Sequence[Row], value: str, title: str, form: str) -> str:
    known = [row for row in rows if row[value] is not None]
    if not known:
        return f"{title} by layer and type of parameter: known of none."
    least, most = (pick(known, key=lambda row: row[value]) for pick in (min, max))
    ends = [f"{format(row[value], form)} ({row['part']}, {row['type']})" for row in (least, most)]
    return f"{title} by layer and type of parameter: from {ends[0]} to {ends[1]}."
