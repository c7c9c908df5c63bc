"""What is needed to repeat runs: the command that was typed, or one that asks for the same."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from dither.cli import build_parser
from dither.report.repeat import Provenance
from dither.results import Experiment

PLAN = Experiment(
    kind="compare", model="a model", model_digest="m1", threads=2, dtype="float32", recipe_version=1,
    tasks={"builtin/sentiment": {"task_digest": "t", "data_digest": "d"}}, methods={"none": {}, "pats": {}},
    train_settings={"epochs": 3, "learning_rate": 1e-5}, seeds=(0, 1, 2, 7), margin=0.5,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["compare", "sweep", "sensitivity", "finetune", "reproduce noisytune-glue"])
def test_the_command_that_asks_for_such_runs_is_accepted(kind):
    plan = replace(PLAN, kind=kind)
    if kind == "finetune":
        plan = replace(plan, methods={"pats": {}}, seeds=(7,), margin=None)
    words = shlex.split(Provenance(plan).command)
    assert words[0] == "dither"
    args = build_parser().parse_args(words[1:])
    assert (args.model, args.out, args.threads) == ("a model", "OUT", 2)
    assert args.settings == ["train.epochs=3", "train.learning_rate=1e-05"]
    assert ("--margin" in words) == (kind not in ("finetune", "sensitivity"))


def test_several_processes_are_started_together():
    command = Provenance(replace(PLAN, processes=2)).command
    assert command.startswith(
        "torchrun --nproc-per-node 2 -m dither compare builtin/sentiment --model 'a model'"
    )
