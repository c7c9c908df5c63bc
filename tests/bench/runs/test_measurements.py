"""What is measured of a run's weights: against a reading of its files, and that training never notices."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoder import requests_of, save_encoder, write_task
from transformers import AutoModelForSequenceClassification

from dither.bench.models.loading import load_tokenizer
from dither.bench.runs import encoding
from dither.bench.runs.measurements import Measurer
from dither.bench.runs.run import run
from dither.core.concentration import concentration
from dither.record import Record

METHODS = ("none", "noisytune", "pats")
QUERY = "encoder.layer.0.attention.self.query.weight"


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("measured")
    return write_task(folder / "task"), save_encoder(folder / "encoder")


def request_of(parts, method: str, batches: int = 2, **changes):
    requests = requests_of(*parts, "train.epochs=2", methods=METHODS)
    return replace(requests[method, 0], batches=batches, **changes)


@pytest.fixture(scope="module")
def measured(parts, tmp_path_factory):
    """A measured run of each method, with the folder of its model."""
    folder = tmp_path_factory.mktemp("models")
    paths = {method: folder / method for method in METHODS}
    return {
        method: (run(request_of(parts, method, output_dir=str(path))), path) for method, path in paths.items()
    }


def states() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_measuring_is_no_part_of_an_arms_seconds(parts, monkeypatch):
    monkeypatch.setattr(Measurer, "measure", lambda self, trainer, noise: time.sleep(0.5))
    clock = time.perf_counter()
    result = run(request_of(parts, "pats", batches=0))
    assert time.perf_counter() - clock - result.seconds >= 0.5


@pytest.mark.parametrize("method", METHODS)
def test_training_never_notices(parts, measured, tmp_path, method):
    with_measurements, folder = measured[method]
    plain = run(request_of(parts, method, batches=0, output_dir=str(tmp_path)))
    after_plain = states()
    run(request_of(parts, method))
    assert states() == after_plain
    assert set(plain.measurements or {}) == ({"average"} if method == "pats" else set())
    assert all(row["steps"] for row in with_measurements.measurements["trace"])
    assert with_measurements.id == plain.id
    assert with_measurements.predictions == plain.predictions
    assert with_measurements.record == plain.record
    theirs, ours = (load_file(path / "model.safetensors") for path in (tmp_path, folder))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_compared_with_the_pretrained_file(parts, measured, method):
    result, folder = measured[method]
    start = load_file(parts[1] / "model.safetensors")[QUERY].double()
    end = load_file(folder / "model.safetensors")[f"bert.{QUERY}"].double()
    (row,) = [row for row in result.measurements["norms"] if row["type"] == "attention query"]
    assert row["elements"] == 256
    assert row["start"] == pytest.approx(float(start.norm()), rel=1e-12)
    assert row["change"] == pytest.approx(float((end - start).norm()), rel=1e-12)
    assert row["relative_change"] == pytest.approx(float((end - start).norm() / start.norm()), rel=1e-12)
    gain = abs(float(end.norm() - start.norm()))
    assert row["relative_norm_change"] == pytest.approx(gain / float(start.norm()), rel=1e-9)


def test_the_noise_stands_beside_the_change(measured):
    found = {
        method: {(row["type"], row["shape"]): row for row in result.measurements["norms"]}
        for method, (result, _) in measured.items()
    }
    assert all(row["noise"] == 0 for row in found["none"].values())
    record = Record.from_json(measured["noisytune"][0].record["noisytune"])
    (row,) = [row for row in record.tensors if row.name == QUERY]
    key = ("attention query", "matrices")
    assert found["noisytune"][key]["noise"] == pytest.approx(row.effective * 16, rel=1e-12)
    # Uniform noise of width λ·std: λ/sqrt(12) of the weights' norm where their mean is near 0.
    assert found["noisytune"][key]["relative_noise"] == pytest.approx(0.15 / 12**0.5, rel=0.1)
    assert 0 < found["pats"][key]["noise"] < found["noisytune"][key]["noise"]
    assert found["pats"]["biases", "vectors"]["noise"] == 0  # vectors are out by default
    assert found["none"]["head", "matrices"]["start"] > 0  # the head's first weights, not those at the end


def test_every_weight_is_counted_once(measured):
    result, folder = measured["none"]
    size = sum(value.numel() for value in load_file(folder / "model.safetensors").values())
    found = result.measurements["sensitivity"]
    assert sum(row["elements"] for row in result.measurements["norms"]) == size
    assert sum(row["count"] for row in found["tensors"]) == found["whole"]["count"] == size
    assert sum(row["count"] for row in found["types"]) == size
    counts = np.sum([row["histogram"] for row in found["types"]], axis=0)
    assert counts.tolist() == list(found["whole"]["histogram"])
    assert "histogram" not in found["tensors"][0]


def test_sensitivity_is_that_of_the_saved_model_on_the_first_rows(parts, measured):
    result, folder = measured["pats"]
    request = request_of(parts, "pats")
    tokenizer = load_tokenizer(request.source)
    rows = encoding.encode(request).features["train"]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    weight, total = model.bert.get_parameter(QUERY), 0.0
    for at in (0, 8):
        model.zero_grad()
        model(**tokenizer.pad(rows[at : at + 8], return_tensors="pt")).loss.backward()
        total = total + (weight * weight.grad).detach().abs() / 2
    exact = concentration(total)
    found = result.measurements["sensitivity"]
    assert (found["asked"], found["batches"], found["batch_size"], found["rows"]) == (2, 2, 8, 16)
    (row,) = [row for row in found["tensors"] if row["name"] == QUERY]
    assert row["mean"] == pytest.approx(exact.mean, rel=1e-4)
    assert row["gini"] == pytest.approx(exact.gini, abs=1e-4 + row["gini_error"])
    assert row["entropy"] == pytest.approx(exact.entropy, abs=1e-4)


def test_a_small_train_split_is_taken_whole(parts):
    found = run(request_of(parts, "none", batches=100)).measurements["sensitivity"]
    assert (found["asked"], found["batches"], found["rows"]) == (100, 3, 24)


def test_a_run_that_diverged_is_measured_and_says_so(parts, tmp_path):
    wild = save_encoder(tmp_path / "wild", initializer_range=1e25)
    requests = requests_of(parts[0], wild, "train.learning_rate=1.0", "train.epochs=2")
    result = run(replace(requests["none", 0], batches=1))
    assert result.status == "failed"
    whole = result.measurements["sensitivity"]["whole"]
    assert whole["nonfinite"] > 0
    assert np.isnan(whole["gini"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_measured_in_float32(parts, dtype):
    requests = requests_of(*parts, "train.epochs=1", dtype=dtype)
    found = run(replace(requests["none", 0], batches=1)).measurements
    assert 0 < found["sensitivity"]["whole"]["gini"] < 1
    assert all(row["change"] >= 0 for row in found["norms"])


def test_the_trace_counts_the_same_steps_in_every_method(measured):
    traces = {method: result.measurements["trace"] for method, (result, _) in measured.items()}
    size = sum(row["elements"] for row in measured["none"][0].measurements["norms"])
    for trace in traces.values():
        # Three batches, two epochs: six steps.
        assert [(row["first"], row["last"], row["steps"]) for row in trace] == [
            (step, step, [step]) for step in range(1, 7)
        ]
        assert all(sum(one["count"] for one in row["types"]) == size for row in trace)
    assert traces["none"][0] == traces["pats"][0]  # no noise yet
    assert traces["none"][0] != traces["noisytune"][0]
    assert traces["none"][-1] != traces["pats"][-1]


def test_the_average_is_what_the_last_checkpoint_holds(measured):
    result, folder = measured["pats"]
    state = torch.load(folder / "checkpoints" / "checkpoint-6" / "optimizer.pt", weights_only=True)["state"]
    kept = [row["dither_sensitivity"] for row in state.values() if "dither_sensitivity" in row]
    found = result.measurements["average"]
    assert found["dtype"] == "float32"
    assert len(found["tensors"]) == len(kept) > 5
    exact = concentration(torch.cat([values.flatten() for values in kept]))
    assert (found["whole"]["count"], found["whole"]["zeros"]) == (exact.count, exact.zeros)
    assert found["whole"]["histogram"] == list(exact.histogram)
    assert found["whole"]["mean"] == pytest.approx(exact.mean, rel=1e-9)
    assert found["whole"]["gini"] == pytest.approx(exact.gini, abs=1e-9 + found["whole"]["gini_error"])
    assert "average" not in measured["noisytune"][0].measurements


def test_an_average_in_half_the_memory_says_so(parts):
    requests = requests_of(*parts, "train.epochs=1", "pats.average=bfloat16", methods=METHODS)
    found = run(requests["pats", 0]).measurements["average"]
    assert found["dtype"] == "bfloat16"
    assert 0 < found["whole"]["gini"] < 1
