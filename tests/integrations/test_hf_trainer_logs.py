"""What the Trainer's log history, the reporters and the records say about the noise."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tiny_trainer import STEPS, trained
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from dither import PATS, NoisyTune, Record
from dither.integrations.hf_trainer import NoiseCallback


class Reporter(TrainerCallback):
    """Keeps what it is told, as reporters do."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.told.append(dict(logs))


def test_the_log_history_begins_with_what_was_noised(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS(exclude="*attention*"))
    trainer = trained(tmp_path, [callback])
    first, records = trainer.state.log_history[0], callback.records
    assert first == {
        "step": 0,
        "dither_noisytune_recipe": records["noisytune"].recipe_hash,
        "dither_noisytune_tensors": 17.0,
        "dither_noisytune_skipped": 24.0,
        "dither_noisytune_noise_rms": records["noisytune"].root_mean_square(),
        "dither_pats_recipe": records["pats"].recipe_hash,
        "dither_pats_total_steps": STEPS,
        "dither_pats_tensors": 9.0,
        "dither_pats_skipped": 32.0,
        "dither_pats_noise_rms": 0.0,
        "dither_pats_dose_given": 0.0,
    }
    assert first["dither_noisytune_noise_rms"] == pytest.approx(0.02 * 0.15 / 12**0.5, rel=0.1)


def test_the_noise_during_training_grows_in_the_log(tmp_path: Path) -> None:
    callback = NoiseCallback(PATS())
    trainer = trained(tmp_path, [callback])
    curve = [row["dither_pats_noise_rms"] for row in trainer.state.log_history]
    assert len(curve) == 1 + STEPS + 1  # the start, each step, the summary
    assert curve == sorted(curve)
    assert curve[1] == 0.0  # no noise at the first step
    assert curve[-1] == callback.records["pats"].root_mean_square() > 0
    json.dumps(trainer.state.log_history)


def test_reporters_after_the_callback_are_told(tmp_path: Path) -> None:
    before, after = Reporter(), Reporter()
    trained(tmp_path, [before, NoiseCallback(NoisyTune(), PATS()), after])
    assert not [key for row in before.told for key in row if "dither" in key]
    assert [key for key in after.told[0] if "noisytune" in key] == [
        "dither_noisytune_tensors",
        "dither_noisytune_skipped",
        "dither_noisytune_noise_rms",
    ]
    assert not [key for row in after.told[1:] for key in row if "noisytune" in key]
    assert all("dither_pats_noise_rms" in row for row in after.told)
    assert all(isinstance(value, int | float) for row in after.told for value in row.values())


def test_tensorboard_after_the_callback_draws_the_noise(tmp_path: Path, caplog, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    with caplog.at_level(logging.WARNING):
        trained(tmp_path, [NoiseCallback(NoisyTune(), PATS()), TensorBoardCallback()])
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert len(events.Scalars("train/dither_pats_noise_rms")) == STEPS + 1
    assert events.Scalars("train/dither_noisytune_noise_rms")[0].value > 0
    assert "incorrect" not in caplog.text  # what TensorBoard says of values that are no numbers


def test_records_are_accounts_of_every_parameter_and_serialise(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS())
    assert callback.records == {}
    trainer = trained(tmp_path, [callback])
    paths = [name for name, _ in trainer.model.named_parameters()]
    for family, record in callback.records.items():
        assert [row.path for row in record.tensors] == paths
        assert record.recipe["method"] == family
        assert record.recipe["seed"] == trainer.args.seed
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
        assert "query.weight" in str(record)
    assert callback.records["pats"].recipe["total_steps"] == STEPS


def test_the_summary_alone_tells_when_nothing_is_logged_on_the_way(tmp_path: Path) -> None:
    reporter = Reporter()
    trained(tmp_path, [NoiseCallback(NoisyTune(), PATS()), reporter], logging_strategy="no")
    (summary,) = reporter.told
    assert summary["dither_pats_noise_rms"] > 0
    assert summary["dither_noisytune_noise_rms"] > 0
