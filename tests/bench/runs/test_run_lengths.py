"""Batches of like lengths: the same in every arm, and predictions stay with their rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_encoder import requests_of, save_encoder, write_task
from transformers import Trainer

from dither.bench.runs.encoding import encode
from dither.bench.runs.run import run
from dither.bench.tasks.files import load_task
from dither.bench.tasks.recipe import Recipe

METHODS = ("none", "noisytune", "pats")
GROUPED = "train.group_by_length=true"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lengths")
    return write_task(folder / "task", train=192), save_encoder(folder / "encoder")


@pytest.fixture
def batches(monkeypatch) -> list:
    """The inputs of every training step that is made."""
    seen: list = []
    original = Trainer.training_step

    def training_step(self, model, inputs, *arguments, **options):
        seen.append([row.tolist() for row in inputs["input_ids"]])
        return original(self, model, inputs, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", training_step)
    return seen


@pytest.mark.parametrize("settings", [(), (GROUPED,)], ids=["as they come", "grouped"])
def test_the_arms_of_a_seed_see_the_same_batches(places, batches, settings):
    requests = requests_of(*places, "train.epochs=2", *settings, methods=METHODS, seeds=(0, 1))
    found = {}
    for key, request in requests.items():
        batches.clear()
        run(request)
        found[key] = [*batches]
    for seed in (0, 1):
        assert len(found["none", seed]) == 48
        assert found["none", seed] == found["noisytune", seed] == found["pats", seed]
    assert found["none", 0] != found["none", 1]
    assert found["none", 0][:24] != found["none", 0][24:]


def padding(batches: list) -> int:
    return sum(row.count(0) for batch in batches for row in batch)


def test_grouped_batches_pad_less_and_hold_every_row_once(places, batches):
    (plain,) = requests_of(*places, "train.epochs=1").values()
    (grouped,) = requests_of(*places, "train.epochs=1", GROUPED).values()
    run(plain)
    scattered = [*batches]
    batches.clear()
    run(grouped)
    assert padding(batches) < padding(scattered) / 2
    rows = sorted([token for token in row if token] for batch in batches for row in batch)
    assert rows == sorted(one["input_ids"] for one in encode(plain).features["train"])


@pytest.mark.parametrize("settings", [(), (GROUPED,)], ids=["as they come", "grouped"])
def test_predictions_stay_with_their_rows(places, settings):
    """The model learns this task wholly, and labels take turns while lengths do not."""
    result = run(requests_of(*places, *settings)["none", 0])
    assert result.score == 100
    assert result.predictions["validation"] == [0, 1] * 6


def test_the_setting_is_part_of_a_run_and_digests_of_tasks_stay():
    task = load_task("glue/rte")
    assert task.digest == "f04d7f9c90ffb662b83f641378de575b285550c1b1ea31783b927b898c8776f5"
    assert replace(task, recipe=replace(task.recipe, group_by_length=True)).digest != task.digest
    plain, grouped = (
        requests_of("builtin/sentiment", "builtin", *settings)["none", 0].spec
        for settings in ((), (GROUPED,))
    )
    assert grouped.train_settings == {"group_by_length": True}
    assert grouped.id != plain.id


@pytest.mark.parametrize("value", [1, "yes", 0.0])
def test_it_is_true_or_false(value):
    with pytest.raises(TypeError, match=f"group_by_length = {value!r} is no bool"):
        Recipe(learning_rate=1e-5, epochs=1, batch_size=8, max_length=16, group_by_length=value)


def test_training_steps_are_a_part_of_the_time(places):
    result = run(requests_of(*places, "train.epochs=2", methods=("pats",))["pats", 0])
    assert 0 < result.step_seconds < result.seconds
