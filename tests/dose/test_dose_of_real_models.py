"""Doses of pretrained models: figures that were measured once, and matches that hold on other rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dosed_models import Batch, batches, builtin, load, stsb, unchanged

import dither
from dither.core.hidden_states import HiddenStates
from dither.dose import DoseMeter
from dither.methods.settings import resolved

pytestmark = pytest.mark.usefixtures("unmoved_random_state")


def holds(model: Any, rows: list[Batch], labelled: list[Batch], fresh: list[Batch], name: str) -> float:
    """Match a method on some rows, then compare it with the reference on others; returns its λ."""
    method = dither.create_method(name, noise_lambda="matched")
    found = dither.match_dose(model, rows, method, sensitivity_batches=labelled)
    final = resolved(method, found.noise_lambda)
    half = len(fresh) // 2
    other = DoseMeter(model, fresh[:half], sensitivity_batches=fresh[half:], seed=1)
    assert other.dose(final).d == pytest.approx(other.dose(dither.NoisyTune()).d, rel=0.1)
    assert isinstance(found.noise_lambda, float)
    return found.noise_lambda


def test_the_built_in_model() -> None:
    model, rows = builtin(384)
    with unchanged(model):
        meter = DoseMeter(model, rows[:8])
        small, large = (meter.dose(dither.NoisyTune(noise_lambda=one)).d for one in (0.05, 0.15))
    assert large / small == pytest.approx(3.0, rel=0.03)
    assert holds(model, rows[:8], rows[8:16], rows[16:], "pats") > 0.15


@pytest.mark.parametrize("name", ["pats", "pats-magnitude"])
def test_it_is_what_a_whole_run_adds_where_nothing_else_moves_the_weights(name: str) -> None:
    model, rows = builtin(512)
    method = dither.create_method(name)
    expected = DoseMeter(model, rows[:8], sensitivity_batches=rows[8:16]).dose(method).d
    states = HiddenStates(model, rows[:8])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=32)
    handle = dither.attach(method, optimizer, model.eval(), total_steps=32, schedule=schedule)
    for step in range(32):
        optimizer.zero_grad()
        model(**rows[16 + step % 16]).loss.backward()
        optimizer.step()
        schedule.step()
    handle.detach()
    assert states.displacement() == pytest.approx(expected, rel=0.2)


def test_a_decoder_and_the_side_of_its_padding(stories_dir: Any, test_data: Any) -> None:
    model, tokenizer = load(stories_dir, 1)
    tokenizer.padding_side = "right"
    rows = stsb(test_data, 384)
    for row in rows:
        row["label"] = float(row["label"])
    columns = ["sentence1"]
    right = batches(tokenizer, rows, columns)
    tokenizer.padding_side = "left"
    left = batches(tokenizer, rows[:64], columns, size=9)
    found = [dither.functional_dose(model, part, dither.NoisyTune()) for part in (right[:4], left)]
    assert found[0].first_left_out
    assert found[0].tokens == found[1].tokens == sum(int(one["attention_mask"].sum()) for one in left) - 64
    assert found[1].d == pytest.approx(found[0].d, rel=1e-4)
    holds(model, right[:8], right[8:16], right[16:], "pats")


def test_minilm_on_stsb(minilm_dir: Any, test_data: Any) -> None:
    model, tokenizer = load(minilm_dir, 1)
    rows = batches(tokenizer, stsb(test_data, 96), ["sentence1", "sentence2"])
    meter = DoseMeter(model, rows[:3], sensitivity_batches=rows[3:])
    small, large = (meter.dose(dither.NoisyTune(noise_lambda=one)).d for one in (0.05, 0.15))
    assert large == pytest.approx(0.13, rel=0.1)
    assert large / small == pytest.approx(2.98, rel=0.03)
    # A third of the labelled batches, so more loosely than where all eight are there: 2.2 to 2.5.
    assert 2.0 < large / meter.dose(dither.PATS()).d < 2.7
