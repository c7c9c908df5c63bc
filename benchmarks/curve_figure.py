"""The picture of a folder of runs: points against plain fine-tuning over a swept setting, one panel a task.

python -m benchmarks.curve_figure runs/lambda noise_lambda docs/figures/lambda.svg
"""

import argparse
from pathlib import Path
from typing import Any

from dither.bench.compare import look
from dither.bench.sweeps.curves import CurvePoint, curves
from dither.report.style import METHOD_COLOURS

PANEL = {"width": 300, "height": 220}


def main() -> None:
    """Draw, and write an SVG or a PNG by the ending of the name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curve_figure", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("setting")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    comparison = look(args.folder, record=False)
    assert comparison.experiment is not None
    points = curves(comparison.analysis, comparison.experiment, [args.setting], zero=True, by_task=True)
    chart(rows_of(points, args.setting), args.setting).save(str(args.out), scale_factor=2)


def rows_of(points: tuple[CurvePoint, ...], setting: str) -> list[dict[str, Any]]:
    """A row for each point; plain fine-tuning, where it stands for strength 0, is on every line."""
    lines = list(dict.fromkeys(point.line for point in points if point.difference or point.arm != "none"))
    return [
        {
            "task": ", ".join(point.tasks),
            "line": line,
            "x": point.values[setting],
            "difference": point.difference,
            "low": point.interval[0],
            "high": point.interval[1],
        }
        for point in points
        for line in (lines if point.arm == "none" else [point.line])
    ]


def chart(rows: list[dict[str, Any]], setting: str) -> Any:
    """Means with the band of their intervals; zero is plain fine-tuning."""
    import altair as alt

    lines = list(dict.fromkeys(row["line"] for row in rows))
    scale = alt.Scale(domain=lines, range=list(METHOD_COLOURS[: len(lines)]))
    legend = alt.Legend(title=None, orient="top")
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=setting), color=alt.Color("line:N", scale=scale, legend=legend)
    )
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title="points against plain"), y2="high:Q")
    line = base.mark_line().encode(y="difference:Q")
    shape = alt.Shape("line:N", scale=alt.Scale(domain=lines), legend=legend)
    marks = base.mark_point(filled=True, opacity=1, size=55).encode(y="difference:Q", shape=shape)
    plain = alt.Chart().mark_rule(strokeDash=[4, 3], color="#555").encode(y=alt.datum(0))
    panels = alt.layer(plain, band, line, marks, data=alt.InlineData(rows)).properties(**PANEL)
    return panels.facet(column=alt.Column("task:N", title=None, sort=None)).configure_view(stroke=None)


if __name__ == "__main__":
    main()
