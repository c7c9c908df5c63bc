"""Inputs as arrays: what goes in comes out, small, read-only, and the same from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_encoder import requests_of, save_encoder, tokenizer, write_task

from dither.bench.heads import HEADS
from dither.bench.runs import encoding
from dither.bench.runs.encoding import encode
from dither.bench.runs.features import Features
from dither.bench.runs.run import run
from dither.bench.runs.shared_data import read_encoded, write_encoded

ANSWER = {"text": ["film"], "answer_start": [2]}
ROWS = [
    {"text": "the film was good", "left": "good", "right": "bad film", "label": 1, "score": 2.5},
    {"text": "", "left": "", "right": "", "label": 0, "score": 0.0},
]
ROWS[0] |= {"tokens": ["a", "playing", "cat"], "tags": ["O", "B-X", "I-X"]}
ROWS[0] |= {"question": "who ?", "context": "a film on the mat " * 3, "answers": ANSWER}
ROWS[1] |= {
    "tokens": [],
    "tags": [],
    "question": "",
    "context": "",
    "answers": {"text": [], "answer_start": []},
}


@pytest.fixture
def encoded(tmp_path):
    """A request, and its data as they are encoded in this process."""
    task, encoder = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    request = requests_of(task, encoder, "train.epochs=1")["none", 0]
    return request, encode(request)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_inputs_of_every_head_come_back_from_a_file(head, small_task, tmp_path):
    features = HEADS[head].encode(small_task(head), ROWS, tokenizer(), 12)
    inputs = [*features]
    assert len(inputs) >= 2
    assert all(type(value) in (int, float, list) for one in inputs for value in one.values())
    assert any(value == -1 for one in inputs for value in one.get("row_words", one.get("row_starts", [-1])))
    write_encoded(tmp_path, encoding.Encoded({"train": features, "test.de": features}, {}, 0.5))
    back = read_encoded(str(tmp_path)).features
    assert {split: [*found] for split, found in back.items()} == {"train": inputs, "test.de": inputs}
    assert back["train"].lengths.tolist() == [len(one["input_ids"]) for one in inputs]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"),
        ([-1, 127], "int8"),
        ([0, 30_521], "uint16"),
        ([-100, 300], "int16"),
        ([-1, 2**31 - 1], "int32"),
        ([0.1, -1e300], "float64"),
    ],
)
def test_numbers_take_the_smallest_type_and_stay_exact(values, dtype):
    features = Features.of({"labels": value} for value in values)
    assert [one["labels"] for one in features] == values
    assert features.columns["labels"].values.dtype == dtype


def test_they_are_a_sequence():
    inputs = [{"input_ids": [number] * number, "labels": number} for number in range(5)]
    features = Features.of(inputs)
    assert features[-1] == inputs[-1]
    assert features[1:3] == inputs[1:3]
    assert features[0] == {"input_ids": [], "labels": 0}
    assert Features.of(features) is features
    assert len(Features.of([])) == 0
    with pytest.raises(IndexError, match="input 5 of 5"):
        features[5]


@pytest.mark.parametrize("bad", [{"a": [0.5]}, {"a": [None]}, {"a": [(1, 2)]}])
def test_what_is_no_list_of_whole_numbers_is_refused(bad):
    with pytest.raises(TypeError):
        Features.of([bad])


def test_an_input_with_other_names_is_refused():
    with pytest.raises(ValueError, match="input 1 has b; the first one a"):
        Features.of([{"a": 1}, {"b": 1}])


def test_what_is_read_is_mapped_and_cannot_be_written(encoded, tmp_path):
    _, made = encoded
    write_encoded(tmp_path, made)
    found = read_encoded(str(tmp_path)).features["train"].arrays()
    assert {*found} > {"input_ids", "input_ids/offsets", "labels"}
    for values in found.values():
        base: Any = values
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            values[:] = 0


def test_a_run_on_shared_data_is_the_same_run_and_loads_no_rows(encoded, tmp_path, monkeypatch):
    request, made = encoded
    alone = run(request)
    write_encoded(tmp_path, made)
    monkeypatch.setattr(encoding, "_ENCODED", {})
    monkeypatch.setattr(encoding, "load", None)
    shared = run(replace(request, encoded=str(tmp_path)))
    for name in ("predictions", "metrics", "score", "constant_score"):
        assert getattr(shared, name) == getattr(alone, name)
    losses = [[row.get("loss") for row in result.history] for result in (shared, alone)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["features.safetensors", "rows.json"])
def test_damaged_files_are_named(name, encoded, tmp_path):
    write_encoded(tmp_path, encoded[1])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"share cannot be read \(.*\); .* Start the same command again"):
        read_encoded(str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="share cannot be read"):
        read_encoded(str(tmp_path))


def test_rows_of_train_are_not_written(encoded, tmp_path):
    write_encoded(tmp_path, encoded[1])
    content = json.loads((tmp_path / "rows.json").read_text())
    assert {*content["rows"]} == {"validation"}
    assert content["constant_score"] == 50.0
