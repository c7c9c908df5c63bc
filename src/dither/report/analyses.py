"""What `dither sensitivity` asks: how far weights moved, how sensitivity is spread, whether that tells."""

from collections.abc import Mapping, Sequence
from typing import Any

from dither.core.parameter_types import type_label
from dither.report.content import Column, Section, Table
from dither.report.values import finite

_PLACE = (Column("task", "task"), Column("type", "type of parameter"), Column("method", "method"))
_RUNS = Column("runs", "runs", "d")
_NORMS = (
    *_PLACE,
    Column("relative_change", "change of the weights, %", ".2f"),
    Column("relative_norm_change", "change of their norm, %", ".3f"),
    Column("relative_noise", "noise, %", ".2f"),
    _RUNS,
)
_CONCENTRATIONS = (
    *_PLACE,
    Column("mean", "mean |w·g|", ".2e"),
    Column("gini", "Gini", ".3f"),
    Column("share", "share below a hundredth of the mean", ".3f"),
    Column("entropy", "entropy", ".3f"),
    Column("zeros", "share of zeros", ".3f"),
    _RUNS,
)
_CORRELATIONS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("measure", "measure"),
    Column("correlation", "rank correlation", "+.2f"),
    Column("low", "from", "+.2f"),
    Column("high", "to", "+.2f"),
    Column("n", "runs", "d"),
)
_MEASURES = {"gini": "Gini", "share": "share below a hundredth of the mean", "entropy": "entropy"}
_PER_CENT = ("relative_change", "relative_norm_change", "relative_noise")

Row = Mapping[str, Any]


def analyses(norms: Sequence[Row], concentrations: Sequence[Row], correlations: Sequence[Row]) -> Section:
    """Three tables of measured runs.

    Args:
        norms: a row for each task, type and method, as of `dither.bench.sensitivity.Analyses`.
        concentrations: likewise.
        correlations: of score and concentration over the runs of a task and method; none where effects are
            hidden.
    """
    tables = (
        Table("correlations", "Score and concentration over seeds", _CORRELATIONS, _told(correlations)),
        Table("norms", "How far weights moved", _NORMS, tuple(map(_moved, norms))),
        Table(
            "concentrations",
            "How sensitivity is spread",
            _CONCENTRATIONS,
            tuple(map(_spread, concentrations)),
        ),
    )
    text = (
        "Do better runs have more concentrated sensitivities, or weights that moved further? Changes are "
        "relative to the norm of the weights before any noise. More concentrated is a higher Gini "
        "coefficient, a higher share below a hundredth of the mean, a lower entropy. Correlations are "
        "Spearman's, of the score and the measure over the whole model, with Bonett and Wright's 95 % "
        "interval; many are shown and none is adjusted for that."
    )
    return Section("analyses", "What the weights tell", (text,), tables=tuple(t for t in tables if t.rows))


def _moved(row: Row) -> Row:
    return _kind(row) | {name: finite(100 * row[name]) for name in _PER_CENT}


def _spread(row: Row) -> Row:
    return _kind(row) | {name: finite(row[name]) for name in ("mean", "gini", "share", "entropy", "zeros")}


def _kind(row: Row) -> dict[str, Any]:
    place = {name: row[name] for name in ("task", "method", "runs")}
    return place | {"type": type_label(row["type"], row["shape"])}


def _told(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(
        {
            **{name: row[name] for name in ("task", "method", "n")},
            "measure": _MEASURES[row["measure"]],
            "correlation": finite(row["correlation"]),
            "low": finite(row["interval"][0]),
            "high": finite(row["interval"][1]),
        }
        for row in rows
    )
