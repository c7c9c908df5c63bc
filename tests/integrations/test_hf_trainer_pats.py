"""PATS in the Trainer: on the real optimizer under accelerate's wrapper, step for step."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainer import STEPS, differing, losses, tiny_model, tiny_trainer, trained, weights
from transformers import TrainerCallback

import dither
from dither import PATS, NoisyTune
from dither.attachment import AVERAGE, base_optimizer
from dither.integrations.hf_trainer import NoiseCallback
from dither.steps import KEY

OPTIMIZERS = ["adamw_torch_fused", "adamw_torch", "adafactor", "sgd"]


@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_the_callback_does_what_attach_does(tmp_path: Path, optim: str) -> None:
    """One run by the callback; another attached by hand before accelerate wraps the optimizer."""
    callback = NoiseCallback(PATS(noise_lambda=0.5))
    automatic = trained(tmp_path, [callback], optim=optim)
    by_hand = tiny_trainer(tmp_path, optim=optim)
    optimizer = by_hand.create_optimizer()
    planned = {"total_steps": STEPS, "schedule": by_hand.create_scheduler(STEPS, optimizer)}
    handle = dither.attach(PATS(noise_lambda=0.5), optimizer, by_hand.model, seed=3, **planned)
    by_hand.train()
    assert differing(weights(automatic.model), weights(by_hand.model)) == []
    assert callback.handle is not None
    assert callback.handle.step == handle.step == STEPS
    assert callback.records["pats"].to_json() == handle.record().to_json()
    plain = trained(tmp_path, optim=optim)
    assert differing(weights(plain.model), weights(automatic.model)) != []


def test_gradient_accumulation_counts_optimizer_steps(tmp_path: Path) -> None:
    """Five batches an epoch, so a step of three and a step of two."""
    callback = NoiseCallback(PATS())
    changes = {"gradient_accumulation_steps": 3, "max_steps": -1, "num_train_epochs": 3}
    trainer = trained(tmp_path, [callback], **changes)
    assert trainer.state.max_steps == 6
    assert callback.handle is not None
    assert callback.handle.step == callback.handle.total_steps == 6
    assert callback.records["pats"].steps == 6


class Freeze(TrainerCallback):
    """Checks that evaluation leaves weights, averages and counters alone."""

    def __init__(self) -> None:
        self.before: Any = None
        self.evaluations = 0

    def picture(self, model: Any, optimizer: Any) -> Any:
        inner = base_optimizer(optimizer)
        states = [state for state in inner.state.values() if AVERAGE in state]
        averages = {str(i): state[AVERAGE].clone() for i, state in enumerate(states)}
        assert averages
        return weights(model) | averages, [repr(group[KEY]) for group in inner.param_groups]

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.before = self.picture(model, optimizer)

    def on_evaluate(self, args, state, control, model=None, optimizer=None, metrics=None, **kwargs):
        tensors, scalars = self.picture(model, optimizer)
        assert differing(tensors, self.before[0]) == []
        assert scalars == self.before[1]
        assert not [name for name in metrics if "dither" in name]
        self.evaluations += 1


def test_evaluation_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """Without dropout: the Trainer's evaluation draws from torch's generator, noise or not."""
    freeze, methods = Freeze(), (NoisyTune(), PATS(vectors=True))
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = [tiny_model(**still) for _ in range(2)]
    evaluating = {"eval_strategy": "steps", "eval_steps": 2}
    evaluated = trained(tmp_path, [NoiseCallback(*methods), freeze], model=models[0], **evaluating)
    straight = trained(tmp_path, [NoiseCallback(*methods)], model=models[1])
    assert freeze.evaluations == STEPS // 2
    assert differing(weights(evaluated.model), weights(straight.model)) == []
    assert losses(evaluated) == losses(straight)
    metrics = evaluated.evaluate()
    assert not [name for name in metrics if "dither" in name]


def test_autocast_to_bfloat16_keeps_float32_weights_and_averages(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS())
    trainer = trained(tmp_path, [callback], bf16=True)
    inner = base_optimizer(trainer.optimizer)
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    assert {state[AVERAGE].dtype for state in inner.state.values() if AVERAGE in state} == {torch.float32}
    assert callback.records["pats"].root_mean_square() > 0
    assert callback.records["pats"].steps == STEPS
    full = trained(tmp_path, [NoiseCallback(NoisyTune(), PATS())])
    assert losses(full) != losses(trainer)  # autocast was really on


def test_a_pure_bfloat16_model_is_noised_with_a_note_of_what_rounding_left(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS(noise_lambda=0.5))
    trainer = trained(tmp_path, [callback], model=tiny_model(dtype=torch.bfloat16), learning_rate=5e-3)
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.bfloat16}
    for record in callback.records.values():
        row = next(row for row in record.tensors if row.name == "pooler.dense.weight")
        assert row.dtype == "bfloat16"
        assert row.requested is not None
        assert row.effective is not None
        assert 0.0 < row.unchanged < 1.0
        assert row.effective == pytest.approx(row.requested, rel=0.5)
    assert all(loss == loss for loss in losses(trainer))


def test_the_scale_is_that_of_the_weights_after_noisytune(tmp_path: Path) -> None:
    callback = NoiseCallback(PATS(), NoisyTune(noise_lambda=2.0))  # the order of the arguments has no say
    trained(tmp_path, [callback], max_steps=2)
    noised = tiny_model()
    dither.noisytune_(noised, 2.0, seed=3)
    after, before = weights(noised), weights(tiny_model())
    rows = [row for row in callback.records["pats"].tensors if row.noised]
    assert len(rows) == 17
    for row in rows:
        assert row.std == pytest.approx(after[row.path].double().std().item(), rel=1e-6)
        assert row.std != pytest.approx(before[row.path].double().std().item(), rel=1e-2)


def test_a_copy_of_the_callback_takes_no_optimizer_along(tmp_path: Path) -> None:
    trained(tmp_path, [callback := NoiseCallback(NoisyTune(), PATS())], max_steps=2)
    twin = copy.deepcopy(callback)
    assert (twin.noisytune, twin.pats, twin.handle) == (callback.noisytune, callback.pats, None)
    assert twin.records == {"noisytune": callback.records["noisytune"]}
    trained(tmp_path, [twin], max_steps=2)
    assert twin.records == callback.records


def test_a_second_train_starts_the_averages_and_the_dose_afresh(tmp_path: Path) -> None:
    callback = NoiseCallback(PATS())
    trainer = trained(tmp_path, [callback], max_steps=5)
    trainer.args.max_steps = 7
    trainer.train()
    assert callback.handle is not None
    assert (callback.handle.step, callback.handle.total_steps) == (7, 7)
    assert trainer.state.log_history[0]["dither_pats_total_steps"] == 7


def test_after_training_the_optimizer_is_free(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [callback := NoiseCallback(PATS())])
    record, inner = callback.records["pats"], base_optimizer(trainer.optimizer)
    for group in inner.param_groups:
        group["lr"] = 0.0
    before = weights(trainer.model)
    trainer.model(input_ids=torch.ones(2, 8, dtype=torch.long)).logits.sum().backward()
    inner.step()
    assert differing(weights(trainer.model), before) == []
    assert callback.records["pats"] == record


def test_an_optimizer_that_pats_cannot_serve_is_refused_before_a_weight_is_written(tmp_path: Path) -> None:
    model = tiny_model()
    optimizer = torch.optim.LBFGS(model.parameters())
    trainer = tiny_trainer(tmp_path, [NoiseCallback(NoisyTune(), PATS())], model=model)
    trainer.optimizer = optimizer
    with pytest.raises(ValueError, match="LBFGS evaluates many gradients in one step"):
        trainer.train()
    assert differing(weights(model), weights(tiny_model())) == []
