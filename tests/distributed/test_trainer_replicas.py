"""The Trainer in two processes: the same noise in both, everything else once, and exact resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import ACCELERATE, TORCHRUN, done
from replicas_in_trainer import RESUMED_AT, SAVING
from safetensors.torch import load_file
from tiny_trainer import STEPS, differing, tiny_model, tiny_trainer, trained, weights

import dither
from dither import PATS, NoisyTune
from dither.integrations.hf_checkpoints import latest_checkpoint
from dither.integrations.hf_trainer import PROCESSES, NoiseCallback

SCRIPT = Path(__file__).with_name("replicas_in_trainer.py")
LAUNCHERS = {"torchrun": TORCHRUN, "accelerate": ACCELERATE}
METHODS = NoisyTune(), PATS(noise_lambda=0.5)


@pytest.fixture(scope="module", params=LAUNCHERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    folder = tmp_path_factory.mktemp(request.param)
    done(SCRIPT, folder, launcher=LAUNCHERS[request.param])
    return folder


def reports(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads((folder / f"report-{rank}.json").read_text()) for rank in (0, 1)]
    assert [report["processes"] for report in found] == [[2, 2], [2, 2]]
    return found


def replicas(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [load_file(folder / f"weights-{rank}.safetensors") for rank in (0, 1)]


def test_both_replicas_and_records_are_the_same(folder: Path) -> None:
    first, second = replicas(folder / "whole")
    assert differing(first, second) == []
    one, other = (report["records"] for report in reports(folder / "whole"))
    assert one == other
    assert one["pats"]["steps"] == STEPS


def test_the_noise_is_that_of_one_process(folder: Path) -> None:
    record = dither.noisytune_(tiny_model(), seed=3).to_json()
    assert reports(folder / "whole")[0]["records"]["noisytune"] == record


def test_together_they_see_the_batches_of_one_process(folder: Path, tmp_path: Path) -> None:
    one = trained(tmp_path, max_steps=STEPS)
    halves = [report["seen"] for report in reports(folder / "whole")]
    together = [left + right for left, right in zip(*halves, strict=True)]
    assert together[:STEPS] == one.data_collator.seen[:STEPS]


def test_a_checkpoint_is_written_once_with_the_random_state_of_each(folder: Path) -> None:
    names = [path.name for path in sorted((folder / "whole" / "checkpoint-3").iterdir())]
    assert [name for name in names if "rng" in name] == ["rng_state_0.pth", "rng_state_1.pth"]
    assert "dither.json" in names
    assert not [name for name in names if "partial" in name]
    first, second = (report["history"] for report in reports(folder / "whole"))
    assert [row[PROCESSES] for row in first if PROCESSES in row] == [2]
    assert [row for row in second if "dither_noisytune_recipe" in row] == []


@pytest.mark.parametrize("step", RESUMED_AT)
def test_what_is_resumed_ends_bit_for_bit_the_same(folder: Path, step: int) -> None:
    whole, resumed = folder / "whole", folder / f"resumed-{step}"
    for one, other in zip(replicas(whole), replicas(resumed), strict=True):
        assert differing(one, other) == []
    losses = [report["losses"] for report in reports(resumed)]
    assert losses == [report["losses"] for report in reports(whole)]


def test_another_number_of_processes_is_said_and_keeps_the_noise(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder / "whole" / "checkpoint-5", tmp_path / "checkpoint-5")
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint == str(tmp_path / "checkpoint-5")
    trainer = tiny_trainer(tmp_path, [callback := NoiseCallback(*METHODS)], **SAVING)
    trainer.train(resume_from_checkpoint=checkpoint)
    assert "2 processes trained so far, now 1: same noise, other order of data" in caplog.text
    assert callback.records["pats"].recipe == reports(folder / "whole")[0]["records"]["pats"]["recipe"]
    assert callback.records["pats"].steps == STEPS
    assert differing(weights(trainer.model), replicas(folder / "whole")[0])
    assert latest_checkpoint(tmp_path) == str(tmp_path / f"checkpoint-{STEPS}")
