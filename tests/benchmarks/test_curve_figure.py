"""The picture of a curve: its rows are the points, its marks are there."""

from __future__ import annotations

from benchmarks.curve_figure import chart, rows_of

from dither.bench.sweeps.curves import curves
from dither.results import Experiment
from dither.stats import Score, analyse

ARMS = {"none": {}, "noisytune@noise_lambda=0.1": {"noise_lambda": 0.1}, "pats@noise_lambda=0.1": {}}
PLAN = Experiment(
    kind="sweep",
    model="m",
    model_digest="m1",
    threads=1,
    dtype="float32",
    recipe_version=1,
    tasks={"a": {"task_digest": "t", "data_digest": "d"}},
    methods=ARMS,
    train_settings={},
    seeds=(0, 1, 2),
)


def found():
    scores = [Score(arm, "a", seed, 60.0 + at * seed) for at, arm in enumerate(ARMS) for seed in range(3)]
    return curves(analyse(scores, planned_seeds=range(3)), PLAN, ["noise_lambda"], zero=True, by_task=True)


def test_plain_is_the_beginning_of_every_line():
    rows = [(row["line"], row["x"], row["difference"]) for row in rows_of(found(), "noise_lambda")]
    assert rows == [
        ("noisytune", 0.0, 0.0),
        ("pats", 0.0, 0.0),
        ("noisytune", 0.1, 1.0),
        ("pats", 0.1, 2.0),
    ]


def test_the_chart_is_drawn(tmp_path):
    rows = rows_of(found(), "noise_lambda")
    path = tmp_path / "curve.svg"
    chart(rows, "noise_lambda").save(str(path))
    text = path.read_text()
    assert text.startswith("<svg")
    assert all(word in text for word in ("noise_lambda", "noisytune", "pats", "points against plain"))
