"""Whole runs of every head, on an encoder and on a decoder: padding and batches change no prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_encoder import requests_of

from dither.bench.data.loading import TaskData
from dither.bench.runs import encoding, training
from dither.bench.runs.run import run

FEW = {"train": 48, "validation": 24}
TASKS = {
    "classification": "builtin/entailment",
    "regression": "builtin/similarity",
    "tagging": "builtin/tagging",
    "span": "builtin/question_answering",
    "retrieval": "builtin/retrieval",
    "mining": "builtin/mining",
}


@pytest.fixture
def few_rows(monkeypatch) -> None:
    """Keep the first rows of every split, and the digest of all."""
    original = encoding.load

    def load(task, data_dir):
        data = original(task, data_dir)
        splits = {name: rows[: FEW[name.partition(".")[0]]] for name, rows in data.splits.items()}
        return TaskData(splits, data.sources, data.digest, data.trained)

    monkeypatch.setattr(encoding, "load", load)
    monkeypatch.setattr(encoding, "_ENCODED", {})


def predictions(head: str, model: str, batch: int, monkeypatch) -> list:
    monkeypatch.setattr(training, "EVALUATION_BATCH", batch)
    settings = ("train.epochs=1", "train.max_length=96", "train.learning_rate=1e-3")
    result = run(requests_of(TASKS[head], model, *settings)["none", 0])
    (found,) = result.predictions.values()
    assert len(found) == FEW["validation"]
    assert "not finite" not in (result.failure or "")
    return found


@pytest.mark.parametrize("head", sorted(TASKS))
def test_an_encoder_predicts_the_same_in_every_batch(head, few_rows, monkeypatch):
    alone, together = (predictions(head, "builtin", batch, monkeypatch) for batch in (1, 24))
    assert alone == (pytest.approx(together, abs=1e-4) if head == "regression" else together)
    assert head != "regression" or len(set(together)) > 1


@pytest.mark.parametrize("head", sorted(TASKS))
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_predicts_the_same_in_every_batch(head, side, stories_dir, few_rows, monkeypatch):
    original = training.load_tokenizer

    def sided(source):
        tokenizer = original(source)
        tokenizer.padding_side = side
        return tokenizer

    monkeypatch.setattr(training, "load_tokenizer", sided)
    alone, together = (predictions(head, str(stories_dir), batch, monkeypatch) for batch in (1, 24))
    assert alone == (pytest.approx(together, abs=1e-3) if head == "regression" else together)


def test_a_run_on_few_rows_is_the_request_it_says(few_rows):
    request = requests_of("builtin/sentiment", "builtin", "train.epochs=1")["none", 0]
    assert run(replace(request)).spec == request.spec
