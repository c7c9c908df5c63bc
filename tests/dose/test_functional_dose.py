"""The functional dose: what it is, what it leaves alone, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from dosed_models import Encoder, own_batches, unchanged
from torch import nn

import dither
from dither.dose.meter import DoseMeter
from dither.marks import Mark, ModelMarks

pytestmark = pytest.mark.usefixtures("unmoved_random_state")

NOISY = [name for name, info in dither.available_methods().items() if info.kind.when != "never"]
ROWS, LABELLED = own_batches(3), own_batches(8)[3:]


def dose(method: Any, model: nn.Module | None = None, **options: Any) -> dither.FunctionalDose:
    options = {"sensitivity_batches": LABELLED} | options
    return dither.functional_dose(model or Encoder(), ROWS, method, **options)


@pytest.mark.parametrize("name", NOISY)
def test_it_grows_with_lambda_and_leaves_the_model_alone(name: str) -> None:
    model = Encoder()
    model.head.weight.grad = torch.ones(2, 8)
    model.norm.eval()
    model.inner.bias.requires_grad_(False)
    with unchanged(model):
        small = dose(dither.create_method(name, noise_lambda=0.02), model)
        large = dose(dither.create_method(name, noise_lambda=0.06), model)
    assert small.kind == "stays"
    assert (small.rows, small.tokens, small.first_left_out) == (18, 126, False)
    assert large.d / small.d == pytest.approx(3.0, rel=0.05)
    assert large.energy / small.energy == pytest.approx(3.0, rel=1e-6)
    assert float(small) == small.d == math.fsum(small.draws) / 2
    assert small.sensitivity_batches == (5 if name.startswith("pats") else 0)


def test_no_noise_is_exactly_zero() -> None:
    for method in (
        dither.create_method("none"),
        dither.NoisyTune(noise_lambda=0),
        dither.PATS(noise_lambda=0),
    ):
        found = dose(method)
        assert (found.d, found.draws, found.energy) == (0.0, (0.0, 0.0), 0.0)
    assert dose(dither.create_method("none")).kind == "none"
    assert dose(dither.create_method("none")).noise_lambda is None


@pytest.mark.parametrize("name", NOISY)
def test_energy_is_the_size_of_the_noise_over_all_weights(name: str) -> None:
    model = Encoder()
    meter = DoseMeter(model, ROWS, sensitivity_batches=LABELLED)
    noise = meter.noise_of(dither.create_method(name))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    squares = []
    for draw in range(40):
        with noise.added(0, draw), torch.no_grad():
            pairs = zip(model.parameters(), before, strict=True)
            squares.append(sum(float((now - then).double().square().sum()) for now, then in pairs))
    size = sum(parameter.numel() for parameter in before)
    assert math.sqrt(sum(squares) / 40 / size) == pytest.approx(noise.energy, rel=0.04)


def test_seeds_draws_and_labels() -> None:
    method = dither.NoisyTune(noise_lambda=0.1)
    found = dose(method)
    assert dose(replace(method, seed=17)) == found  # a run's seed is no seed of the calibration
    assert dose(method, seed=1).draws != found.draws
    assert dose(method, draws=1).draws == found.draws[:1]
    other = [row | {"labels": 1 - row["labels"]} for row in ROWS]
    pats = dither.PATS()
    assert dither.functional_dose(Encoder(), other, pats, sensitivity_batches=LABELLED) == dose(pats)
    # Without labelled batches the first of the others serve.
    assert dose(pats, sensitivity_batches=None) == dose(pats, sensitivity_batches=ROWS)
    assert dose(pats, sensitivity_batches=iter(LABELLED)).sensitivity_batches == 5


def test_patterns_maps_and_frozen_parameters() -> None:
    assert dose(dither.NoisyTune(include="head*")).d == 0.0
    assert dose(dither.NoisyTune(include="head*")).energy > 0.0  # the head's own noise is invisible
    part = dose(dither.NoisyTune(include="inner*"))
    mapped = dose(dither.NoisyTune(noise_lambda={"inner*": 0.15, "*": 0.0}))
    assert mapped.draws == part.draws
    assert 0.0 < part.d < dose(dither.NoisyTune()).d
    model = Encoder()
    model.table.requires_grad_(False)
    assert 0.0 < dose(dither.PATS(), model).d < dose(dither.PATS()).d
    assert dose(dither.NoisyTune(frozen=True), model).d == dose(dither.NoisyTune()).d


def test_what_start_stop_and_per_step_leave_of_the_dose() -> None:
    whole = dose(dither.PATS(noise_lambda=0.02)).d
    assert dose(dither.PATS(noise_lambda=0.02, start=51, stop=70)).d == whole  # fewer steps, more of it each
    linear = partial(dither.PATS, noise_lambda=0.02, schedule="linear")
    late = dose(linear(start=51), total_steps=100).d
    assert late / whole == pytest.approx(0.5**1.5, rel=0.02)  # (1/2)³ of the squares of a linear schedule
    early = dose(linear(stop=51), total_steps=100).d
    assert early / whole == pytest.approx((1 - 0.5**3) ** 0.5, rel=0.02)
    raw = dose(dither.PATS(noise_lambda=0.02, per_step=True), total_steps=12).d
    assert raw / whole == pytest.approx(math.sqrt(12 / 3), rel=0.1)
    assert dose(dither.PATS(noise_lambda=0.02, every=7)).d == whole
    with pytest.raises(ValueError, match=r"PATS with start and stop .* pass total_steps="):
        dose(linear(start=2))


def test_exceptions_and_contexts_of_the_caller() -> None:
    model = Encoder(fail_at=4)
    with torch.no_grad():
        model.table.weight[3, 3] = 1.0  # the model fails as soon as this weight is noised, and then some
    with unchanged(model), pytest.raises(RuntimeError, match="out of memory, say"):
        dose(dither.NoisyTune(), model)
    expected = dose(dither.PATS()).d
    with torch.no_grad():
        assert dose(dither.PATS()).d == expected
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert dose(dither.PATS()).d == expected
    model = Encoder()
    with torch.inference_mode():
        assert dose(dither.PATS(), model).d == expected


def test_a_loader_and_inputs_of_other_types() -> None:
    rows = [{key: value[at] for key, value in batch.items()} for batch in ROWS for at in range(6)]
    loader = torch.utils.data.DataLoader(rows, batch_size=9)  # it draws from torch's generator when it starts
    found = dither.functional_dose(Encoder(), loader, dither.NoisyTune())
    assert (found.rows, found.d) == (18, pytest.approx(dose(dither.NoisyTune()).d, rel=1e-5))


def test_a_batch_in_parts_is_the_batch() -> None:
    halves = [[{key: value[at : at + 3] for key, value in one.items()} for at in (0, 3)] for one in LABELLED]
    whole, parted = dose(dither.PATS()), dose(dither.PATS(), sensitivity_batches=halves)
    assert parted.d == pytest.approx(whole.d, rel=1e-4)
    assert parted.sensitivity_batches == 5
    other = [one[:1] for one in halves]
    assert dose(dither.PATS(), sensitivity_batches=other).d != pytest.approx(whole.d, rel=1e-4)
    with pytest.raises(TypeError, match=r"sensitivity_batches\[1\] is a Tensor; each batch is a mapping"):
        dose(dither.PATS(), sensitivity_batches=[[LABELLED[0], torch.ones(2)]])


def test_half_precision() -> None:
    found = dose(dither.PATS(noise_lambda=0.3), Encoder().to(torch.bfloat16))
    assert found.d == pytest.approx(dose(dither.PATS(noise_lambda=0.3)).d, rel=0.1)


def test_json() -> None:
    found = dose(dither.PATS(noise_lambda={"table*": 0.1, "*": 0.2}, include=["*"]))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert dither.FunctionalDose.from_json(json.loads(text)).to_json() == found.to_json()
    assert "seed" not in found.method
    assert found.method["method"] == "pats"


class Silent(Encoder):
    def forward(self, input_ids: torch.Tensor, labels: Any = None) -> dict[str, Any]:
        return super().forward(input_ids) | {"loss": None}


class Open(Encoder):
    def forward(self, input_ids: torch.Tensor, labels: Any = None) -> dict[str, Any]:
        output = super().forward(input_ids, labels)
        return output | {"last_hidden_state": output["last_hidden_state"].atanh()}  # not finite at 1


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (dither.PATS(), {"sensitivity_batches": LABELLED[:1]}, r"over 1 steps; .* give two batches at least"),
    (dither.PATS(), {"sensitivity_batches": []}, r"sensitivity_batches is empty; give batches of the train"),
    (dither.PATS(), {"model": Silent()}, r"batch 0 gives no loss, .* sensitivity_batches= with labels"),
    (
        dither.PATS(noise_lambda="matched"),
        {},
        r"'matched', which is no number .* found = dither\.match_dose\(",
    ),
    (
        dither.NoisyTune(noise_lambda=99),
        {"model": Open()},
        r"noisytune at noise_lambda 99.* take a smaller one",
    ),
    (dither.NoisyTune(), {"draws": 0}, r"draws is 0; it must be a whole number >= 1"),
    (dither.NoisyTune(), {"seed": -1}, r"seed is -1"),
    (dither.NoisyTune(exclude="tabel"), {}, r"exclude='tabel' fits none"),
]


@pytest.mark.parametrize(("method", "options", "message"), REFUSED)
def test_what_is_refused_and_how(method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dose(method, **options)


def test_models_and_batches_that_cannot_serve() -> None:
    with pytest.raises(TypeError, match=r"batches\[0\] is a Tensor; each batch is a mapping"):
        dither.functional_dose(Encoder(), [torch.ones(2)], dither.NoisyTune())  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"method is 'pats'; a dose can be measured of"):
        dose("pats")
    model = Encoder()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"the loss of batch 0 is"):
        dose(dither.PATS(include="table*"), model)
    model = Encoder()
    with pytest.raises(RuntimeError), ModelMarks(model).writing(Mark("abc", {})):
        raise RuntimeError
    with pytest.raises(ValueError, match="partly noised"):
        dose(dither.NoisyTune(), model)
    for parameter in (model := Encoder()).parameters():
        parameter.requires_grad_(False)
    assert dose(dither.PATS(), model).d == 0.0
