"""A run tells how far it is: what others read, and that the run never notices."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoder import requests_of, save_encoder, write_task

from dither.bench.runs.pulse import Pulse, forget, read_pulses
from dither.bench.runs.run import run


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pulse")
    parts = write_task(folder / "task"), save_encoder(folder / "encoder")
    return requests_of(*parts, "train.epochs=5", methods=("none", "pats"))


def states() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def determined(result) -> tuple[object, ...]:
    """What a run comes to, without its times."""
    times = {"train_runtime", "train_samples_per_second", "train_steps_per_second"}
    history = [{key: value for key, value in row.items() if key not in times} for row in result.history]
    return result.id, result.score, result.predictions, history, result.record


@pytest.mark.parametrize("method", ["none", "pats"])
def test_no_bit_of_a_run_changes(requests, tmp_path, method):
    request = requests[method, 0]
    silent, after = run(request), states()
    told = run(replace(request, pulses=str(tmp_path)))
    assert states() == after
    assert determined(told) == determined(silent)
    (pulse,) = read_pulses(tmp_path).values()
    losses = [row["loss"] for row in told.history if "loss" in row]
    assert (pulse.step, pulse.steps, pulse.loss) == (15, 15, losses[-1])


def test_every_logged_step_is_told(requests, tmp_path, monkeypatch):
    request, told = requests["none", 0], []
    monkeypatch.setattr(Pulse, "write", lambda self, folder, run_id: told.append((run_id, self)))
    run(replace(request, pulses="anywhere"))
    assert {run_id for run_id, _ in told} == {request.spec.id}
    assert [pulse.step for _, pulse in told] == [0, 0, 10, 15, 15]
    assert [pulse.steps for _, pulse in told] == [0, 15, 15, 15, 15]
    assert told[1][1].loss is None
    assert len({pulse.began for _, pulse in told}) == 1


def test_a_folder_that_is_gone_ends_no_run(requests, tmp_path):
    assert run(replace(requests["none", 0], pulses=str(tmp_path / "gone"))).status in ("finished", "failed")
    assert not (tmp_path / "gone").exists()


def test_what_is_no_pulse_is_passed_over(tmp_path: Path):
    pulse = Pulse(1.5, 2, 3, float("inf"))
    pulse.write(tmp_path, "a")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text('{"other": 1}')
    (tmp_path / "d.new").write_text("")
    assert read_pulses(tmp_path) == {"a": pulse}
    for _ in range(2):  # the second time there is nothing to forget
        forget(tmp_path, "a")
    assert read_pulses(tmp_path) == {}


def test_where_nobody_asks_nothing_is_told(requests):
    assert requests["none", 0].pulses is None
