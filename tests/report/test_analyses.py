"""The tables of measured runs say what `dither sensitivity` says."""

from __future__ import annotations

import math

from dither.report.analyses import analyses

PLACE = {"task": "rte", "method": "pats", "type": "pooler", "shape": "vectors", "runs": 3}
NORM = PLACE | {"relative_change": 0.25, "relative_norm_change": 0.01, "relative_noise": math.nan}
SPREAD = PLACE | {"mean": 1e-4, "gini": 0.5, "share": 0.25, "entropy": 3.0, "zeros": 0.125}
TOLD = {"task": "rte", "method": "all", "measure": "share", "n": 9} | {
    "correlation": 0.5,
    "interval": (-0.25, math.nan),
}


def test_numbers_are_in_the_units_of_their_columns():
    told, norms, spread = analyses([NORM], [SPREAD], [TOLD]).tables
    (row,) = norms.rows
    assert (row["type"], row["relative_change"], row["relative_noise"]) == ("pooler, vectors", 25.0, None)
    (row,) = spread.rows
    assert (row["mean"], row["gini"], row["zeros"]) == (1e-4, 0.5, 0.125)
    (row,) = told.rows
    assert (row["measure"], row["low"], row["high"]) == ("share below a hundredth of the mean", -0.25, None)


def test_correlations_with_scores_stay_hidden_with_them():
    assert [table.id for table in analyses([NORM], [SPREAD], []).tables] == ["norms", "concentrations"]
