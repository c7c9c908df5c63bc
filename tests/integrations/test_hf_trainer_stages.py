"""Several callbacks in one Trainer, several stages of fine-tuning, groups that are added on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_trainer import differing, tiny_model, tiny_trainer, weights
from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback

import dither
from dither.attachment import base_optimizer
from dither.integrations.hf_trainer import RECORD_FILE, NoiseCallback
from dither.marks import ModelMarks
from dither.steps import KEY


def short(folder: Path, **changes: Any) -> Trainer:
    """Four steps."""
    return tiny_trainer(folder, **{"max_steps": 4} | changes)


def both() -> list[NoiseCallback]:
    return [NoiseCallback(dither.NoisyTune()), NoiseCallback(dither.PATS())]


def test_two_callbacks_with_one_method_each_resume_as_one_with_both(tmp_path: Path) -> None:
    whole = short(tmp_path / "a", callbacks=both(), save_strategy="steps", save_steps=2)
    whole.train()
    records = json.loads((tmp_path / "a" / "checkpoint-2" / RECORD_FILE).read_text())
    assert set(records) == {"noisytune", "pats"}
    for callbacks in (both(), [NoiseCallback(dither.PATS(), dither.NoisyTune())]):
        resumed = short(tmp_path / "b", callbacks=callbacks)
        resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
        assert not differing(weights(whole.model), weights(resumed.model))


def test_a_method_that_is_missing_on_resume_is_refused(tmp_path: Path) -> None:
    short(tmp_path, callbacks=both(), save_strategy="steps", save_steps=2).train()
    for callback in both():
        with pytest.raises(ValueError, match=r"a checkpoint with \w+ recipe \w+, now no \w+ is asked for"):
            short(tmp_path, callbacks=[callback]).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_a_second_method_of_a_family_is_refused(tmp_path: Path) -> None:
    callbacks = [NoiseCallback(dither.PATS(beta=0.5)), NoiseCallback(dither.PATS(beta=0.9))]
    with pytest.raises(ValueError, match=r"two NoiseCallbacks .* have a PATS each.*beta=0\.5.*beta=0\.9"):
        short(tmp_path, callbacks=callbacks).train()


def test_a_second_stage_is_noised_once_where_again_is_asked_for(tmp_path: Path) -> None:
    first = short(tmp_path / "1", callbacks=[NoiseCallback(dither.NoisyTune())], max_steps=1)
    first.train()
    first.save_model(str(tmp_path / "stage"))

    def stage(out: str, **more: Any) -> tuple[Any, NoiseCallback]:
        callback = NoiseCallback(dither.NoisyTune(), again=True)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "stage")
        return short(tmp_path / out, model=model, callbacks=[callback], **more), callback

    second, callback = stage("2", save_strategy="steps", save_steps=2)
    second.train()
    assert callback.records["noisytune"].counts()["noised"] > 0
    assert ModelMarks(second.model).applied == 2
    resumed, _ = stage("3")
    resumed.train(resume_from_checkpoint=str(tmp_path / "2" / "checkpoint-2"))
    assert not differing(weights(second.model), weights(resumed.model))
    assert ModelMarks(resumed.model).applied == 2  # the draws of a third stage are others
    second.train()
    assert ModelMarks(second.model).applied == 2


def test_a_reference_model_without_noise_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = short(tmp_path, callbacks=[NoiseCallback(dither.NoisyTune())], max_steps=1)
    one.args.precompute_ref_log_probs = False  # as TRL's configurations have it
    one.train()
    (said,) = [text for text in caplog.messages if "reference" in text]
    assert "call dither.noisytune_ on both with the same settings and seed before" in said
    policy, reference = tiny_model(), tiny_model()
    for model in (policy, reference):
        dither.noisytune_(model, seed=3)
    assert not differing(weights(policy), weights(reference))


class Unfreeze(TrainerCallback):
    """Adds the embeddings to the optimizer at the third step."""

    def __init__(self, model: Any) -> None:
        self.held = [model.get_input_embeddings().weight.requires_grad_(False)]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2 and self.held:
            (weight,) = self.held
            self.held = []
            scheduler = kwargs["lr_scheduler"]  # torch's want to be told by hand
            scheduler = getattr(scheduler, "scheduler", scheduler)
            scheduler.base_lrs.append(scheduler.base_lrs[0])
            scheduler.lr_lambdas.append(scheduler.lr_lambdas[0])
            base_optimizer(kwargs["optimizer"]).add_param_group({"params": [weight.requires_grad_(True)]})


def test_groups_added_on_the_way_are_taken_up(tmp_path: Path) -> None:
    model = tiny_model()
    callback = NoiseCallback(dither.PATS())
    one = short(tmp_path, model=model, callbacks=[Unfreeze(model), callback], lr_scheduler_type="constant")
    one.train()
    groups = base_optimizer(one.optimizer).param_groups
    assert {group[KEY]["step"] for group in groups} == {one.state.global_step}
    name = "embeddings.word_embeddings.weight"
    (row,) = [row for row in callback.records["pats"].tensors if row.name == name]
    assert row.noised
    assert (row.effective or 0.0) > 0.0
