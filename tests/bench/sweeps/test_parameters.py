"""What is swept: one spelling for each value, and every mistake told by name."""

from __future__ import annotations

import pytest

from dither.bench.sweeps.parameters import Choices, Range, parse_parameters


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("noise_lambda=0,0.10, 0.2", Choices("noise_lambda", (0.0, 0.1, 0.2))),
        ("scope=all,backbone", Choices("scope", ("all", "backbone"))),
        ("vectors=true,false", Choices("vectors", (True, False))),
        ("train.batch_size=8,16", Choices("train.batch_size", (8, 16))),
        ("beta=0.5..0.995", Range("beta", 0.5, 0.995)),
        ("noise_lambda=1..2", Range("noise_lambda", 1, 2)),
        ("noise_lambda=1e-2..1,log", Range("noise_lambda", 0.01, 1.0, log=True)),
        ("noise_lambda=0.05..0.4 log", Range("noise_lambda", 0.05, 0.4, log=True)),
        ("every=1..10", Range("every", 1, 10, whole=True)),
    ],
)
def test_what_users_type(text, parameter):
    assert parse_parameters([text], "pats") == (parameter,)
    assert parse_parameters([parameter.text], "pats") == (parameter,)


MISTAKES = {
    "noise_lambda": "--param 'noise_lambda' is not like noise_lambda=0.1,0.2 or, with --search",
    "=0.1": "is not like noise_lambda=0.1,0.2",
    "beta=": "is not like noise_lambda=0.1,0.2",
    "bta=0.5": "pats has no setting 'bta'; did you mean 'beta'",
    "lambda=0.5": "pats has no setting 'lambda'",
    "train.epoch=1": r"pats has no setting 'train.epoch'; did you mean 'train\.epochs'",
    "seed=1,2": "the best of several seeds is luck; choose the runs by --seeds",
    "train.seed=1,2": "the best of several seeds is luck; choose the runs by --seeds",
    "beta=0.5,2": "--param beta=0.5,2: beta is 2; it must",
    "noise_lambda=-0.1": "noise_lambda is -0.1; it must be a finite number >= 0",
    "noise_lambda=nan,1": "nan is no finite number",
    "train.epochs=0": r"--param train.epochs=0: epochs = 0 is outside \[0.001",
    "train.batch_size=0.5": "batch_size = 0.5 is no int",
    "noise_lambda=0.1,0.10": "0.1 stands there twice; each value is one row",
    "noise_lambda=0.1,,0.2": "a value is empty; write noise_lambda=a,b without spare commas",
    "include=x*,y*": r"\['x\*'\] cannot stand in a name; give it by --set",
    "noise_lambda=0.4..0.1": "the range runs backwards; write low..high",
    "noise_lambda=0.4..0.4": "the range holds one value alone",
    "noise_lambda=0..0.4,log": "0 has no logarithm; begin above it, or leave out log",
    "beta=0.5..1.5": r"beta is 1\.5; it must",
    "scope=all..backbone": "'all' is no number, and a range has numbers at its ends; list the values",
    "noise_lambda=0.1..inf": "inf is no finite number",
}


@pytest.mark.parametrize("text", list(MISTAKES))
def test_mistakes(text):
    with pytest.raises(ValueError, match=MISTAKES[text]):
        parse_parameters([text], "pats")


@pytest.mark.parametrize(
    ("texts", "method", "message"),
    [
        ([], "pats", "nothing to sweep"),
        (["beta=0.5", "beta=0.9"], "pats", "--param beta stands there twice"),
        (["beta=0.5"], "pats@beta=0.9", r"the name pats@beta=0\.9 sets it already"),
        (["beta=0.5"], "pat", "unknown method 'pat'; did you mean 'pats'"),
        (["law=uniform,gaussian"], "noisytune-gaussian", "has no setting 'law'"),
    ],
)
def test_what_goes_with_no_method(texts, method, message):
    with pytest.raises(ValueError, match=message):
        parse_parameters(texts, method)
