"""PATS under the Trainer's schedulers: the dose of the run is the one asked for, or it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainer import STEPS, differing, tiny_trainer, trained, weights
from transformers import EarlyStoppingCallback, TrainerCallback

from dither import PATS
from dither.integrations.hf_trainer import NoiseCallback

SCHEDULERS: dict[str, dict[str, Any]] = {
    "cosine": {},
    "constant": {},
    "warmup_stable_decay": {"lr_scheduler_kwargs": {"num_decay_steps": 4}},
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_dose_of_the_run_is_given(tmp_path: Path, name: str, caplog: Any) -> None:
    callback = NoiseCallback(PATS())
    trainer = trained(tmp_path, [callback], lr_scheduler_type=name, **SCHEDULERS[name])
    record = callback.records["pats"]
    assert record.dose_given == pytest.approx(1.0, rel=1e-9)
    assert trainer.state.log_history[-1]["dither_pats_dose_given"] == record.dose_given
    grown = [row["dither_pats_dose_given"] for row in trainer.state.log_history]
    assert grown == sorted(grown)
    assert grown[0] == 0.0
    assert "PATS" not in caplog.text


def test_reading_ahead_leaves_the_training_as_it_is(tmp_path: Path, unmoved_random_state: None) -> None:
    """Noise of strength 0 plans its doses, too: the training is the plain one, learning rates included."""
    still = {"lr_scheduler_type": "cosine", "max_steps": 4}
    with torch.random.fork_rng():
        plain, quiet = (
            trained(tmp_path, **still),
            trained(tmp_path, [NoiseCallback(PATS(noise_lambda=0))], **still),
        )
    assert differing(weights(plain.model), weights(quiet.model)) == []
    rates = [
        [row["learning_rate"] for row in one.state.log_history if "learning_rate" in row]
        for one in (plain, quiet)
    ]
    assert rates[0] == rates[1]


def test_a_scheduler_that_follows_a_metric_is_taken_for_linear_decay_aloud(
    tmp_path: Path, caplog: Any
) -> None:
    callback = NoiseCallback(PATS())
    plateau = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 6}
    trained(tmp_path, [callback], **plateau, metric_for_best_model="loss")
    assert "a copy of the ReduceLROnPlateau cannot be stepped ahead" in caplog.text
    assert (
        "Linear decay is taken instead: under a constant learning rate the noise has 1.73 times"
        in caplog.text
    )
    assert callback.records["pats"].dose_given == pytest.approx(11 * 6 * STEPS / (11 * 23))
    assert caplog.text.count("times the dose that noise_lambda asks for (") == 0
    assert caplog.text.count("if the learning rate stays where it is, 1.77 times at the end") == 1


class Rise(TrainerCallback):
    """Raises the learning rate in the middle of the run."""

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        if state.global_step == 3:
            optimizer.param_groups[0]["lr"] = 7.0


def test_a_learning_rate_above_the_plan_is_refused(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path, [callback := NoiseCallback(PATS()), Rise()], lr_scheduler_type="constant"
    )
    with pytest.raises(ValueError, match=r"group 0 is 7 at step 4, outside \[0, lr_max\].*lr_max=0\.001"):
        trainer.train()
    assert callback.handle is not None
    assert callback.handle.step == 3


def test_early_stopping_shows_the_dose_that_is_missing(tmp_path: Path, caplog: Any) -> None:
    callback, stop = NoiseCallback(PATS()), EarlyStoppingCallback(1, early_stopping_threshold=10.0)
    evaluating = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "lr_scheduler_type": "constant"}
    trainer = trained(tmp_path, [callback, stop], **evaluating, **best)
    assert trainer.state.global_step == 4
    assert callback.records["pats"].dose_given == pytest.approx(3 / 11)
    assert "after step 4 of 12 the noise has 0.52 times the dose that noise_lambda asks for" in caplog.text
