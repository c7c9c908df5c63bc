"""The points of a grid: their arms, tasks, reference, and the one that is plain fine-tuning."""

from __future__ import annotations

import pytest

from dither.bench.sweeps.grid import Grid
from dither.bench.sweeps.parameters import parse_parameters


def grid(method: str, *texts: str) -> Grid:
    return Grid(method, parse_parameters(texts, method))


def test_every_combination_is_an_arm_and_zero_is_plain():
    found = grid("pats", "noise_lambda=0,0.1", "beta=0.85,0.98")
    assert found.arms == ("pats@noise_lambda=0.1,beta=0.85", "pats@noise_lambda=0.1,beta=0.98")
    assert found.zero
    assert found.settings == ("noise_lambda", "beta")
    assert found.label(found.arms[1]) == "noise_lambda=0.1,beta=0.98"
    assert not grid("pats", "beta=0.85,0.98").zero


def test_settings_in_the_name_hold_for_the_whole_grid():
    assert grid("pats@gamma=2.0", "beta=0.9").arms == ("pats@gamma=2.0,beta=0.9",)


def test_recipes_vary_the_tasks():
    found = grid("noisytune", "noise_lambda=0.1", "train.learning_rate=2e-5,5e-5", "train.epochs=3")
    assert found.arms == ("noisytune@noise_lambda=0.1",)
    assert found.tasks(["glue/rte", "glue/cola@train_fraction=0.5"]) == [
        "glue/rte@learning_rate=2e-05,epochs=3.0",
        "glue/rte@learning_rate=5e-05,epochs=3.0",
        "glue/cola@train_fraction=0.5,learning_rate=2e-05,epochs=3.0",
        "glue/cola@train_fraction=0.5,learning_rate=5e-05,epochs=3.0",
    ]
    assert found.settings == ("noise_lambda", "learning_rate", "epochs")
    only = grid("noisytune", "train.epochs=1,2")
    assert (only.arms, only.reference()) == (("noisytune",), None)


@pytest.mark.parametrize(
    ("texts", "asked", "arm"),
    [
        (["noise_lambda=0,0.1,0.15"], None, "noisytune@noise_lambda=0.15"),  # the default
        (["noise_lambda=0,0.1,0.2"], None, "noisytune@noise_lambda=0.1"),  # the first with noise
        (["noise_lambda=0,0.1,0.2"], "0.20", "noisytune@noise_lambda=0.2"),
        (["noise_lambda=0,0.1"], "0", "none"),
        (["noise_lambda=0.1,0.2", "scope=all,backbone"], "scope=backbone,noise_lambda=0.2",
         "noisytune@noise_lambda=0.2,scope=backbone"),
        (["noise_lambda=0.1"], None, None),
    ],
)  # fmt: skip
def test_the_reference(texts, asked, arm):
    assert grid("noisytune", *texts).reference(asked) == arm


@pytest.mark.parametrize(
    ("texts", "asked", "message"),
    [
        (
            ["noise_lambda=0.1,0.2"],
            "0.3",
            "--reference 0.3 is no point of the grid; it has noise_lambda=0.1; n",
        ),
        (["noise_lambda=0.1,0.2"], "beta=1", "--reference beta=1 is no point of the grid"),
        (["noise_lambda=0.1", "scope=all"], "0.1", "'0.1' is not like setting=value"),
        (["train.epochs=1,2"], "epochs=1", "it has no setting of the method"),
    ],
)
def test_references_that_are_none(texts, asked, message):
    with pytest.raises(ValueError, match=message):
        grid("noisytune", *texts).reference(asked)


@pytest.mark.parametrize(
    ("method", "texts", "message"),
    [
        ("none", ["train.epochs=1"], "--method none is what the others are compared with"),
        ("pats", ["noise_lambda=0"], "noise_lambda = 0 alone is plain fine-tuning; add another value"),
        ("pats", ["beta=0.5..0.9"], "is a range: with --search 20 it is searched; in a grid list its values"),
        ("pats", ["start=5", "stop=3"], "stop"),
    ],
)
def test_grids_that_are_none(method, texts, message):
    with pytest.raises(ValueError, match=message):
        grid(method, *texts)
