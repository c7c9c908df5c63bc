"""What users type as settings, and what they typed wrong."""

from __future__ import annotations

import pytest

from dither.bench.plans.names import parse_names
from dither.bench.plans.settings import (
    FAST,
    check_seed,
    full_settings,
    method_of,
    parse_seeds,
    parse_settings,
)
from dither.methods.registry import available_methods, create_method


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)),
        ("0-2", (0, 1, 2)),
        ("7, 1-2 ,0", (7, 1, 2, 0)),
        ("4294967295", (4294967295,)),
        ("5-5", (5,)),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no seed and no range; write 0-8"),
        ("a", "'a' is no seed"),
        ("-1", "'-1' is no seed"),
        ("0-", "'0-' is no seed"),
        ("1.5", "'1.5' is no seed"),
        ("1,,2", "'' is no seed"),
        ("²", "'²' is no seed"),
        ("8-0", "the range '8-0' runs backwards"),
        ("0-3,2", "seed 2 stands there twice"),
        ("4294967296", "above 2\\^32 - 1"),
        ("0-200000", "beyond 100,000 seeds"),
    ],
)
def test_seeds_that_are_none(text, message):
    with pytest.raises(ValueError, match=f"--seeds .*{message}"):
        parse_seeds(text)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_one_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=rf"--seed is {seed}; it must lie in \[0, 2\^32\)"):
        check_seed(seed)


@pytest.mark.parametrize("text", ["", " , ", "none,none"])
def test_names_are_there_once(text):
    with pytest.raises(ValueError, match=r"--methods .* must hold one or more names, each once"):
        parse_names(text, "--methods", like="none,noisytune")


def test_values_are_toml_and_bare_words_are_strings():
    assignments = ["noisytune.scope=backbone", "noisytune.include=['*weight']", "noisytune.frozen=true"]
    settings = parse_settings(assignments, ["noisytune", "none"])[0]
    changed = {"scope": "backbone", "include": ["*weight"], "frozen": True}
    assert settings["noisytune"] == changed
    assert full_settings("noisytune", changed) == {**full_settings("noisytune", {}), **changed}
    assert settings["none"] == {}


def test_strengths_by_pattern():
    text = 'noisytune.noise_lambda={"embeddings.*" = 0, "*" = 0.2}'
    settings, _ = parse_settings([text], ["noisytune"])
    assert settings["noisytune"]["noise_lambda"] == {"embeddings.*": 0.0, "*": 0.2}


@pytest.mark.parametrize("text", ["train.epochs=3", "train.epochs=3.0"])
def test_three_and_three_point_zero_are_one_setting(text):
    ((epochs,),) = [parse_settings([text], ["none"])[1].values()]
    assert type(epochs) is float


@pytest.mark.parametrize("text", ["train.epochs=3", "noisytune.noise_lambda=0.3"])
def test_a_setting_with_two_values_is_refused(text):
    name, _, value = text.partition("=")
    assert parse_settings([text, f" {name} = {value}"], ["noisytune"])
    with pytest.raises(ValueError, match=rf"{name}=7: {name} is .* already, by another --set or"):
        parse_settings([text, f"{name}=7"], ["noisytune"])


def test_fast_is_two_settings_of_training():
    assert parse_settings(FAST, ["none"])[1] == {"precision": "bf16", "group_by_length": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise_lambda=0.2", "is not like noisytune.noise_lambda=0.2"),
        ("noisytune.noise_lambda", "is not like"),
        ("noisetune.noise_lambda=0.2", "unknown 'noisetune'; did you mean 'noisytune'\\?"),
        ("pats.noise_lambda=0.2", "unknown 'pats'; There are: none, noisytune, train"),
        ("noisytune.noise_lamda=0.2", "no setting 'noise_lamda'; did you mean 'noise_lambda'\\?"),
        ("noisytune.noise_lambda=-0.1", "noise_lambda is -0.1; it must be a finite number >= 0"),
        ("noisytune.noise_lambda=nan", "noise_lambda is nan; it must be a finite number >= 0"),
        ("noisytune.noise_lambda=much", "noise_lambda is 'much'; it must be a finite number >= 0"),
        ("noisytune.noise_lambda={}", "noise_lambda is an empty map"),
        ("noisytune.law=normal", "law is 'normal'; it must be 'uniform' or 'gaussian'"),
        ("noisytune.frozen=1", "frozen is 1; it must be True or False"),
        ("noisytune.seed=3", "the seed of a run seeds its noise; choose runs by --seeds"),
        ("train.epoch=3", "unknown 'epoch'; did you mean 'epochs'\\?"),
        ("train.epochs=many", "--set train.epochs = 'many' is no float"),
        ("train.epochs=nan", "--set train.epochs = nan is outside"),
        ("train.batch_size=0", "--set train.batch_size = 0 is outside"),
        ("train.batch_size=true", "--set train.batch_size = True is no int"),
        ("train.learning_rate=2", "--set train.learning_rate = 2 is outside"),
        ("train.learning_rate=2026-01-01", "is no float"),
    ],
)
def test_settings_that_are_none(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        parse_settings([text], ["none", "noisytune"])


def test_what_a_method_is_cannot_be_set():
    with pytest.raises(ValueError, match="'noisytune-gaussian' is what it is by law='gaussian'; leave it"):
        parse_settings(["noisytune-gaussian.law=uniform"], ["noisytune-gaussian"])


@pytest.mark.parametrize("name", list(available_methods()))
def test_full_settings_make_the_same_method(name):
    assert method_of(name, full_settings(name, {})) == create_method(name)


def test_pats_and_every_control_are_matched_unless_a_number_is_set():
    found = {name: full_settings(name, {}).get("noise_lambda") for name in available_methods()}
    assert {name for name, value in found.items() if value == "matched"} == {
        name for name in found if name.startswith(("pats", "noisytune-"))
    }
    assert (found["noisytune"], found["none"]) == (0.15, None)
    settings, _ = parse_settings(["pats.noise_lambda=0.15"], ["pats", "pats-blind@noise_lambda=energy"])
    numbers = {name: full_settings(name, changed)["noise_lambda"] for name, changed in settings.items()}
    assert numbers == {"pats": 0.15, "pats-blind@noise_lambda=energy": "energy"}


def test_other_words_are_refused():
    with pytest.raises(
        ValueError, match=r"noise_lambda is 'same'; it must be .* or one of 'matched', 'energy'"
    ):
        parse_settings(["pats.noise_lambda=same"], ["pats"])
