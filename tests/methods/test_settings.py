"""Settings of the methods: their ranges, their messages, and the recipe made of them."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dither
from dither.methods.settings import recipe_hash

REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("noisytune", {"noise_lambda": -1}, ValueError, r"noise_lambda is -1; it must be a finite number >= 0"),
    ("noisytune", {"seed": 1.5}, TypeError, r"seed is 1\.5; it must be a whole number"),
    ("noisytune", {"include": []}, ValueError, r"include is empty, so no tensor would be noised"),
    ("pats", {"include": ()}, ValueError, r"include is empty"),
    ("noisytune", {"exclude": 3}, TypeError, r"patterns are 3"),
    ("noisytune", {"scope": "head"}, ValueError, r"scope is 'head'; it must be 'all' or 'backbone'"),
    ("noisytune", {"rounding": "up"}, ValueError, r"rounding is 'up'; .* 'nearest' or 'stochastic'"),
    ("noisytune", {"zeros": "drop"}, ValueError, r"zeros is 'drop'; it must be 'keep' or 'noise'"),
    ("noisytune", {"law": "normal"}, ValueError, r"law is 'normal'; it must be 'uniform' or 'gaussian'"),
    ("noisytune", {"across": "all"}, ValueError, r"across is 'all'; it must be 'tensor' or 'model'"),
    ("noisytune", {"frozen": 1}, TypeError, r"frozen is 1; it must be True or False"),
    ("noisytune", {"token_embeddings": "no"}, TypeError, r"token_embeddings is 'no'; it must be True"),
    ("pats", {"vectors": None}, TypeError, r"vectors is None; it must be True or False"),
    ("pats", {"per_step": 1}, TypeError, r"per_step is 1; it must be True or False"),
    ("pats", {"beta": 1.0}, ValueError, r"beta is 1\.0; it must lie in \[0, 1\)"),
    ("pats", {"beta": -0.1}, ValueError, r"beta is -0\.1; it must lie in \[0, 1\)"),
    ("pats", {"beta": "0.9"}, TypeError, r"beta is '0\.9'; it must be a number"),
    ("pats", {"gamma": 0}, ValueError, r"gamma is 0; it must lie in \(0, inf\)"),
    ("pats", {"gamma": float("nan")}, ValueError, r"gamma is nan; it must lie in \(0, inf\)"),
    ("pats", {"gamma": True}, TypeError, r"gamma is True; it must be a number"),
    ("pats", {"lr_max": 0.0}, ValueError, r"lr_max is 0\.0; it must lie in \(0, inf\)"),
    ("pats", {"lr_max": float("inf")}, ValueError, r"lr_max is inf; it must lie in"),
    ("pats", {"start": 0}, ValueError, r"start is 0; .* whole number in \[1, 2\^32\)"),
    ("pats", {"start": True}, ValueError, r"start is True; .* whole number in \[1, 2\^32\)"),
    ("pats", {"every": 0.5}, ValueError, r"every is 0\.5; .* whole number in \[1, 2\^32\)"),
    ("pats", {"start": 5, "stop": 4}, ValueError, r"stop is 4; it must be a whole number in \[5, 2\^32\)"),
    ("pats", {"start": 2**63}, ValueError, r"start is 9223372036854775808; .* in \[1, 2\^32\)"),
    ("pats", {"stop": 2**32}, ValueError, r"stop is 4294967296; .* in \[1, 2\^32\)"),
    ("pats", {"every": 2**32}, ValueError, r"every is 4294967296; .* in \[1, 2\^32\)"),
    ("pats", {"schedule": "linaer"}, ValueError, r"schedule is 'linaer'; it must be 'run' or 'linear'"),
    ("pats", {"schedule": "cosine"}, ValueError, r"schedule is 'cosine'; it must be 'run' or 'linear'"),
    ("pats", {"noise_lambda": np.bool_(True)}, TypeError, r"noise_lambda is .*True.*; it must be a finite"),
    ("pats", {"noise_lambda": np.float32("nan")}, ValueError, r"noise_lambda is nan; it must be a finite"),
    ("pats", {"seed": np.float64(1.0)}, TypeError, r"seed is .*1\.0.*; it must be a whole number"),
    ("pats", {"across": "layer"}, ValueError, r"across is 'layer'"),
    ("pats", {"measure": "fisher"}, ValueError, r"measure is 'fisher'; .* 'gradient' or 'magnitude'"),
    ("pats", {"weighting": "x"}, ValueError, r"weighting is 'x'; .* or 'blind' or 'inverted'"),
    ("pats", {"idle": True, "weighting": "blind"}, ValueError, r"idle=True goes with weighting='insens"),
]


@pytest.mark.parametrize(("name", "settings", "error", "message"), REFUSED)
def test_what_is_refused_and_how(
    name: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dither.create_method(name, **settings)


def test_methods_are_frozen_and_by_keyword() -> None:
    with pytest.raises(AttributeError):
        dither.NoisyTune().noise_lambda = 0.3  # type: ignore[misc]
    with pytest.raises(TypeError):
        dither.PATS(0.15)  # type: ignore[misc]


SAME = [
    ({"gamma": 1}, {"gamma": 1.0}),
    ({"beta": 0}, {"beta": 0.0}),
    ({"lr_max": 1}, {"lr_max": 1.0}),
    ({"noise_lambda": 1}, {"noise_lambda": 1.0}),
    ({"include": "a"}, {"include": ["a"]}),
    ({"exclude": []}, {"exclude": None}),
    ({"noise_lambda": np.float32(0.15)}, {"noise_lambda": 0.15}),
    ({"noise_lambda": np.float64(0.15)}, {"noise_lambda": 0.15}),
    ({"noise_lambda": {"*": np.float16(0.1)}}, {"noise_lambda": {"*": 0.1}}),
    ({"noise_lambda": Fraction(3, 20)}, {"noise_lambda": 0.15}),
    ({"beta": np.float32(0.9), "gamma": np.int64(2)}, {"beta": 0.9, "gamma": 2.0}),
    ({"lr_max": np.float32(3e-5)}, {"lr_max": 3e-5}),
    ({"seed": np.int64(7)}, {"seed": 7}),
    ({"start": np.int32(3), "stop": np.int64(9), "every": np.uint8(2)}, {"start": 3, "stop": 9, "every": 2}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_settings_written_differently_are_one_recipe(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = dither.PATS(**one), dither.PATS(**other)
    assert first == second
    assert json.dumps(first.recipe(0)) == json.dumps(second.recipe(0))
    assert recipe_hash(first.recipe(0)) == recipe_hash(second.recipe(0))


CHANGES: list[dict[str, Any]] = [
    {"noise_lambda": 0.2},
    {"noise_lambda": {"a": 0.1, "b": 0.2}},
    {"noise_lambda": {"b": 0.2, "a": 0.1}},  # the first pattern that fits counts
    {"include": ["a", "b"]},
    {"exclude": ["a", "b"]},
    {"scope": "backbone"},
    {"token_embeddings": False},
    {"across": "model"},
    {"rounding": "stochastic"},
]


@pytest.mark.parametrize("kind", [dither.NoisyTune, dither.PATS])
def test_every_setting_is_part_of_the_recipe(kind: Any) -> None:
    own = {
        dither.NoisyTune: [{"frozen": True}, {"zeros": "noise"}, {"law": "gaussian"}],
        dither.PATS: [
            *({"beta": 0.9}, {"gamma": 2}, {"vectors": True}, {"start": 2}, {"stop": 9}, {"every": 2}),
            *({"per_step": True}, {"lr_max": 1.0}, {"measure": "magnitude"}),
            *({"weighting": "blind"}, {"idle": True}, {"schedule": "linear"}),
        ],
    }[kind]
    recipes = [kind(**change).recipe(0) for change in [{}, *CHANGES, *own]] + [kind().recipe(1)]
    assert len({recipe_hash(recipe) for recipe in recipes}) == len(recipes)
    assert all(json.loads(json.dumps(recipe)) == recipe for recipe in recipes)


def test_the_hash_of_the_default_recipes_is_kept() -> None:
    """It stands in saved models: a release that changes it would refuse to continue their runs."""
    assert recipe_hash(dither.NoisyTune().recipe(0)) == "d82b89dc84daa22f"
    assert recipe_hash(dither.PATS().recipe(0)) == "694b96105705ed5e"
    assert recipe_hash(dither.PATS(schedule="linear").recipe(0)) == "d963f67f665ec5f8"


def test_an_unknown_method_names_the_nearest_and_all() -> None:
    with pytest.raises(
        ValueError, match=r"unknown method 'pat'; did you mean 'pats'\? Methods: none, none-again, "
    ):
        dither.create_method("pat")
    with pytest.raises(ValueError, match=r"unknown method 'zzz'; Methods: none"):
        dither.create_method("zzz")


def test_an_unknown_setting_names_the_nearest_and_all() -> None:
    message = r"method 'pats' has no setting 'betta'; did you mean 'beta'\? Settings: noise_lambda, beta"
    with pytest.raises(ValueError, match=message):
        dither.create_method("pats", betta=0.9)
    with pytest.raises(ValueError, match=r"method 'none' has no setting 'noise_lambda'; Settings: seed"):
        dither.create_method("none", noise_lambda=0.1)


def test_what_makes_a_control_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match=r"method 'pats-blind' is what it is by weighting='blind'; leave it"):
        dither.create_method("pats-blind", weighting="inverted")
