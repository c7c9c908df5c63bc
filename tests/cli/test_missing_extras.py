"""Every command in an environment without an extra names what to install, before it does anything."""

from __future__ import annotations

import sys

import pytest

from dither.builtin import MODEL_DIR
from dither.cli import _COMMANDS
from dither.core.extras import EXTRAS

RUNS = ("builtin/sentiment", "--model", "builtin")
COMMANDS = {
    "demo": (),
    "compare": RUNS,
    "sweep": (*RUNS, "--method", "noisytune", "--param", "noise_lambda=0.1"),
    "reproduce": ("--list",),
    "finetune": RUNS,
    "dose": RUNS,
    "sensitivity": RUNS,
    "report": ("runs",),
    "perturb": (str(MODEL_DIR), "noisy"),
    "tasks": (),
    "methods": (),
}
WRITE = ("demo", "compare", "sweep", "finetune", "sensitivity")
NEEDS = dict.fromkeys(COMMANDS, "bench") | {"report": "report", "perturb": "trainer"}
FREE = ("tasks", "methods")
ENVIRONMENTS = {"base": (), "trainer": EXTRAS["trainer"], "bench": EXTRAS["bench"]}
MISSING = {
    (environment, name): [part for module, part in EXTRAS[NEEDS[name]].items() if module not in there]
    for environment, there in ENVIRONMENTS.items()
    for name in COMMANDS
    if name not in FREE
}


def test_every_command_is_asked():
    assert {module.__name__.rpartition(".")[2] for module in _COMMANDS} == set(COMMANDS)


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Have the packages of one environment alone, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def only(environment: str) -> None:
        for module in set(EXTRAS["report"]) - set(ENVIRONMENTS[environment]):
            monkeypatch.setitem(sys.modules, module, None)

    return only


@pytest.mark.parametrize(("environment", "name"), [case for case, parts in MISSING.items() if parts])
def test_a_command_names_its_missing_extra(dither, only, tmp_path, environment, name):
    only(environment)
    out = ("--out", tmp_path / "out") if name in WRITE else ()
    status, _, err = dither(name, *COMMANDS[name], *out)
    assert status == 1
    missing = ", ".join(MISSING[environment, name])
    assert err.endswith(f" needs {missing}: pip install 'dither[{NEEDS[name]}]'\n")
    assert name == "perturb" or err.startswith(f"dither: dither {name} needs ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FREE)
def test_the_lists_need_no_extra(dither, only, name):
    only("base")
    status, _, err = dither(name)
    assert (status, err) == (0, "")


def test_noise_under_the_names_of_the_file_needs_no_extra(dither, only, tmp_path):
    only("base")
    assert dither("perturb", MODEL_DIR, "noisy", "--names", "file")[0] == 0
    assert dither("perturb", MODEL_DIR, "noisy", "--verify")[0] == 0
