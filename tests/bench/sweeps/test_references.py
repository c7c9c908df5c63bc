"""Which value of a setting is better: every method's other arms beside its default or its first."""

from __future__ import annotations

from dither.bench.compare import Comparison
from dither.bench.sweeps.grid import Grid
from dither.bench.sweeps.parameters import Choices
from dither.bench.sweeps.references import beside_references
from dither.results import Experiment
from dither.stats import Score, analyse

MEANS = {"none": 60.0, "pats@beta=0.5": 61.0, "pats@beta=0.85": 62.0, "noisytune": 60.5}


def compared(means: dict[str, float]) -> Comparison:
    """Six seeds, in which every arm differs from plain by the same."""
    seeds = tuple(range(6))
    scores = tuple(Score(name, "rte", seed, mean + seed) for name, mean in means.items() for seed in seeds)
    plan = Experiment(
        kind="compare", model="m", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
        tasks={"rte": {"task_digest": "t", "data_digest": "d"}}, train_settings={}, seeds=seeds,
        methods={name: {} for name in means},
    )  # fmt: skip
    return Comparison(analyse(scores, planned_seeds=seeds), (), 1, (), scores, plan)


def test_the_default_is_the_reference_of_its_method():
    found = beside_references(compared(MEANS))
    assert list(found) == ["pats@beta=0.85"]
    (point,) = found["pats@beta=0.85"]
    assert (point.arm, point.difference, point.pairs) == ("pats@beta=0.5", -1.0, 6)


def test_without_the_default_the_first_arm_is():
    found = beside_references(compared({"none": 60.0, "pats@beta=0.5": 61.0, "pats@beta=0.9": 63.0}))
    assert [(name, [point.difference for point in own]) for name, own in found.items()] == [
        ("pats@beta=0.5", [2.0])
    ]


def test_what_all_arms_set_is_no_reason_against_the_default():
    arms = ["pats@beta=0.9,noise_lambda=0.3", "pats@beta=0.9,noise_lambda=0.15"]
    swept = Grid("pats@beta=0.9", (Choices("noise_lambda", (0.3, 0.15)),))
    assert list(swept.arms) == arms
    found = beside_references(compared({"none": 60.0, **dict.fromkeys(arms, 61.0)}))
    assert list(found) == [arms[1]] == [swept.reference()]
