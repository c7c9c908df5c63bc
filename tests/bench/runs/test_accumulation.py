"""A batch in parts: the gradient of the whole batch, for every kind of head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_encoder import plan_of, requests_of, save_encoder, write_task
from torch import Tensor, nn
from transformers import TrainerCallback

from dither.bench.runs.encoding import encode
from dither.bench.runs.run import run
from dither.bench.runs.training import make_trainer

# One step in each epoch, of 37 rows: parts of 16, 16 and 5.
UNEVEN = ("train.batch_size=48", "train.max_steps=1", "train.max_grad_norm=0")


class Gradients(TrainerCallback):
    """The gradients that the optimizer's first step will use."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        rows = kwargs["model"].named_parameters()
        self.found = {name: row.grad.clone() for name, row in rows if row.grad is not None}


def without_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def first_step(task: str, *settings: str) -> tuple[dict[str, Tensor], float]:
    """Gradients and loss of the first step."""
    (request,) = requests_of(task, "builtin", *UNEVEN, *settings).values()
    seen = Gradients()
    trainer, *_ = make_trainer(request, encode(request), loaded=without_dropout, measuring=[seen])
    trainer.train()
    return seen.found, trainer.state.log_history[-1]["train_loss"]


# How far a gradient may be from the whole batch's, relative to its norm: rounding. Where spans are learned
# the softmax goes over the padding too, and parts pad less.
FAR = {"sentiment": 1e-4, "similarity": 1e-4, "tagging": 1e-4, "question_answering": 0.1}


@pytest.mark.parametrize("name", FAR)
def test_parts_have_the_gradient_of_the_whole_batch(name: str) -> None:
    rows = len(plan_of(f"builtin/{name}", "builtin").data[f"builtin/{name}"].splits["train"])
    task = f"builtin/{name}@train_fraction={37 / rows}"
    (whole, loss), (parts, same) = first_step(task), first_step(task, "train.gradient_accumulation=3")
    assert same == pytest.approx(loss, rel=FAR[name])
    assert whole.keys() == parts.keys()
    ours, theirs = (torch.cat([found[key].reshape(-1) for key in whole]) for found in (parts, whole))
    assert float((ours - theirs).norm() / theirs.norm()) < FAR[name]


def test_a_step_is_a_batch_whatever_its_parts(tmp_path) -> None:
    films = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    for parts in (1, 2, 8):
        (request,) = requests_of(*films, f"train.gradient_accumulation={parts}").values()
        trainer, _, stopwatch = make_trainer(request, encode(request))
        assert trainer.args.train_batch_size == 8 // parts
        if parts == 8:
            trainer.train()
            assert trainer.state.global_step == trainer.state.max_steps == 30
            assert stopwatch.seconds > 0


def test_parts_that_are_not_equal_are_refused(tmp_path) -> None:
    films = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    message = "batches of 8, which train.gradient_accumulation = 3 cannot part equally; it may be 1, 2, 4, 8$"
    with pytest.raises(ValueError, match=message):
        plan_of(*films, "train.gradient_accumulation=3")


def test_computing_twice_and_ending_early(tmp_path) -> None:
    films = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    early, twice = (
        run(requests_of(*films, "train.max_steps=7", *more, methods=("pats",))["pats", 0])
        for more in ((), ("train.gradient_checkpointing=true",))
    )
    assert early.history[-1]["step"] == 7
    assert early.record["pats"]["recipe"]["total_steps"] == 7
    assert [row.get("loss", row.get("train_loss")) for row in early.history] == [
        row.get("loss", row.get("train_loss")) for row in twice.history
    ]
    assert early.record == twice.record


def test_a_model_that_cannot_compute_twice_is_refused(tmp_path, monkeypatch) -> None:
    from transformers import BertForSequenceClassification

    films = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    plan_of(*films, "train.gradient_checkpointing=true")
    monkeypatch.setattr(BertForSequenceClassification, "supports_gradient_checkpointing", False)
    with pytest.raises(ValueError, match=r"does not support train.gradient_checkpointing; leave"):
        plan_of(*films, "train.gradient_checkpointing=true")
