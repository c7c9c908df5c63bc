"""The Record: counts, root mean squares, JSON and the printed table."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

import dither
from dither.core.noise import Change
from dither.record import Record, TensorRecord


def record() -> Record:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 4))
    model[2].weight = nn.Parameter(model[0].weight.detach().t().contiguous())
    model.append(nn.Linear(3, 4))
    model[3].weight = model[2].weight
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(12.0).view(3, 4) / 7)
        model[2].weight.copy_(torch.arange(12.0).view(4, 3).cos())
        for index in (0, 2, 3):
            model[index].bias.copy_(torch.arange(float(len(model[index].bias))).sin())
    return dither.noisytune_(model, noise_lambda={"*.weight": 0.1, "*": 0.2}, exclude="3.bias", seed=5)


def test_counts_and_reasons() -> None:
    found = record()
    assert found.counts() == {"noised": 4, "skipped": 4}
    assert found.skipped() == {"constant": 2, "tied": 1, "excluded": 1}


def test_the_table_names_every_tensor_and_what_was_done() -> None:
    text = str(record())
    lines = text.splitlines()
    assert lines[0].split() == ["tensor", "shape", "std", "λ", "noise", "(rms)", "effective", "note"]
    row = next(line for line in lines if line.startswith("0.weight"))
    assert "3×4" in row
    assert " 0.1 " in row
    assert "tied to 2.weight" in text
    assert "noisytune, seed 5: 4 tensors noised, 4 skipped (2 constant, 1 tied, 1 excluded)" in text


def test_a_message_is_printed_last() -> None:
    model = nn.Linear(3, 3)
    dither.noisytune_(model)
    assert str(dither.noisytune_(model)).splitlines()[-1].startswith("already noised with recipe")


def test_nothing_skipped_is_said() -> None:
    assert "1 tensors noised, none skipped" in dither.noisytune_(nn.Linear(3, 3, bias=False)).summary()


def test_root_mean_squares() -> None:
    rows = (
        TensorRecord("a", "a", (2, 3), "float32", effective=3.0, requested=1.0),
        TensorRecord("b", "b", (10,), "float32", effective=1.0, requested=2.0),
        TensorRecord("c", "c", (999,), "float32", reason="frozen"),
    )
    found = Record({}, "", "", 1, rows)
    assert found.root_mean_square() == pytest.approx(math.sqrt((9 * 6 + 10) / 16))
    assert found.root_mean_square("requested") == pytest.approx(math.sqrt((6 + 40) / 16))
    assert Record({}, "", "", 1, rows[2:]).root_mean_square() == 0.0


def test_changes_become_root_mean_squares() -> None:
    blank = TensorRecord("a", "a", (4,), "bfloat16")
    change = Change(elements=8, changed=6, energy=16.0, requested=36.0)  # two steps of four elements
    row = blank.with_change(change, 4)
    assert (row.effective, row.requested, row.unchanged) == (2.0, 3.0, 0.25)
    assert blank.with_change(Change(), 4).unchanged == 1.0


def test_json_round_trip() -> None:
    found = record()
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Record.from_json(json.loads(text)) == found
    assert json.loads(text)["tensors"][0]["shape"] == [3, 4]


def test_to_json_is_a_copy() -> None:
    found = record()
    found.to_json()["recipe"]["seed"] = 99
    found.to_json()["recipe"]["noise_lambda"].append(1)
    assert found.recipe["seed"] == 5
    assert len(found.recipe["noise_lambda"]) == 2


def test_an_unknown_field_is_refused_by_name() -> None:
    values = record().to_json() | {"colour": "red"}
    with pytest.raises(
        ValueError, match="a record has no field 'colour'; fields: backend, dose, dose_given, m"
    ):
        Record.from_json(values)


def test_a_dose_travels_with_the_record_and_old_records_are_read() -> None:
    plain = record()
    assert "dose" not in plain.to_json()  # as it was before there were doses
    dosed = plain.with_dose({"d": 0.1317, "kind": "stays"})
    assert dither.Record.from_json(json.loads(json.dumps(dosed.to_json()))) == dosed
    assert "functional dose 0.132" in dosed.summary()
    with pytest.raises(ValueError, match=r"this one has None; pass dither\.functional_dose\(\.\.\.\)\.to_js"):
        plain.with_dose({"energy": 1.0})
