"""How much noise each tensor really got."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from dither.report.arms import Arm, Row, by_key, mean, types_in_order
from dither.report.content import Column, Figure, Table
from dither.report.style import base, method_scale, shape_scale, slug, spec

COLUMNS = (
    Column("method", "method"),
    Column("name", "tensor"),
    Column("type", "type"),
    Column("part", "part"),
    Column("shape", "shape"),
    Column("elements", "elements", "d"),
    Column("std", "std", ".4e"),
    Column("requested", "noise asked for", ".4e"),
    Column("effective", "noise made", ".4e"),
    Column("ratio", "noise made / std", ".4f"),
    Column("reason", "left alone"),
    Column("runs", "runs", "d"),
)
NUMBERS = ("std", "requested", "effective", "ratio")


def noise_received(arms: Sequence[Arm], methods: Sequence[str]) -> Figure | None:
    """The noise of every tensor relative to its weights, a mark each; None where no method adds any.

    Args:
        arms: of one task.
        methods: all of the page, in their order.
    """
    rows = [row for arm in arms for row in _rows(arm)]
    noised = [row for row in rows if row["ratio"] is not None]
    if not noised:
        return None
    title = f"Noise that each tensor got: {arms[0].task}"
    table = Table(slug("noise", arms[0].task), title, COLUMNS, tuple(rows))
    return Figure(table, _marks(rows, methods), _summary(rows, noised))


def _rows(arm: Arm) -> list[Row]:
    runs = [[row | {"ratio": _ratio(row)} for row in rows] for rows in arm.records()]
    found = []
    for (name,), rows in by_key([row for run in runs for row in run], "name"):
        first = rows[0]
        means = {column: mean(row[column] for row in rows) for column in NUMBERS}
        fixed = {key: first[key] for key in ("type", "part", "elements", "reason")}
        shape = " × ".join(map(str, first["shape"]))
        found.append(
            {"method": arm.method, "name": name, "shape": shape, **fixed, **means, "runs": len(rows)}
        )
    return found


def _ratio(row: Row) -> float | None:
    return row["effective"] / row["std"] if row["effective"] is not None and row["std"] else None


def _marks(rows: Sequence[Row], methods: Sequence[str]) -> dict[str, Any]:
    types = types_in_order(row["type"] for row in rows if row["ratio"] is not None)
    noisy = dict.fromkeys(row["method"] for row in rows if row["ratio"] is not None)
    legend = alt.Legend(title=None, orient="top", values=list(noisy))
    chart = (
        base()
        .transform_filter("isValid(datum.ratio)")
        .mark_point(filled=True, size=45, opacity=0.65)
        .encode(
            x=alt.X("ratio:Q", title="noise made / std of the tensor", axis=alt.Axis(tickCount=5)),
            y=alt.Y("type:N", sort=types, title=None, axis=alt.Axis(grid=True)),
            color=alt.Color("method:N", scale=method_scale(methods), legend=legend),
            shape=alt.Shape("method:N", scale=shape_scale(methods), legend=legend),
            tooltip=[
                "method:N", "name:N", "shape:N", alt.Tooltip("ratio:Q", format=".4f"),
                alt.Tooltip("effective:Q", format=".2e"),
            ],
        )
    )  # fmt: skip
    return spec(chart, height=alt.Step(24))


def _summary(rows: Sequence[Row], noised: Sequence[Row]) -> str:
    sentences = []
    for (method,), own in by_key(noised, "method"):
        ratios = [row["ratio"] for row in own]
        all_of_it = sum(row["method"] == method for row in rows)
        sentences.append(
            f"{method}: {len(own)} of {all_of_it} tensors got noise, {min(ratios):.4f} to {max(ratios):.4f} "
            "of their std."
        )
    return " ".join(sentences)
