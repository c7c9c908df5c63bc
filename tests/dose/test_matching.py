"""Matched doses: the λ that reaches a reference's d or energy, or an error that says why there is none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from dosed_models import Encoder, own_batches, unchanged

import dither
from dither.dose import DoseMeter, FunctionalDose
from dither.dose.search import Search
from dither.integrations.hf_trainer import NoiseCallback
from dither.methods.settings import resolved

pytestmark = pytest.mark.usefixtures("unmoved_random_state")

ROWS, LABELLED, FRESH = own_batches(4), own_batches(12)[4:], own_batches(24)[12:]
MATCHABLE = [
    name
    for name, info in dither.available_methods().items()
    if info.kind.when != "never" and name != "noisytune"
]


@pytest.mark.parametrize("name", MATCHABLE)
def test_every_method_reaches_the_reference_and_keeps_it_on_fresh_rows(name: str) -> None:
    model = Encoder()
    method = dither.create_method(name, noise_lambda="matched")
    with unchanged(model):
        found = dither.match_dose(model, ROWS, method, sensitivity_batches=LABELLED)
    assert found.dose.d == pytest.approx(found.reference.d, rel=0.05)
    assert found.noise_lambda == float(f"{found.noise_lambda:.3g}") == found.dose.noise_lambda
    assert found.reference_method["method"] == "noisytune"
    assert len(found.tried) <= 3
    fresh = {"sensitivity_batches": FRESH[:8], "seed": 1, "draws": 4}
    final = dither.functional_dose(model, FRESH[8:], resolved(method, found.noise_lambda), **fresh)
    reference = dither.functional_dose(model, FRESH[8:], dither.NoisyTune(), **fresh)
    assert final.d == pytest.approx(reference.d, rel=0.15)  # 10 % where there are more than 24 rows


def test_any_reference_and_any_start() -> None:
    meter = DoseMeter(Encoder(), ROWS, sensitivity_batches=LABELLED)
    goal = dither.PATS(noise_lambda=0.4)
    found = meter.match(dither.NoisyTune(noise_lambda=0.0), goal)
    assert found.reference == meter.dose(goal)
    assert meter.match(dither.NoisyTune(noise_lambda=1e-3), goal).noise_lambda == pytest.approx(
        found.noise_lambda, rel=0.06
    )
    mapped = meter.match(dither.PATS(noise_lambda={"table*": 0.1, "*": 0.2}), dither.NoisyTune())
    assert mapped.noise_lambda["*"] == pytest.approx(2 * mapped.noise_lambda["table*"], rel=0.01)
    assert mapped.dose.d == pytest.approx(mapped.reference.d, rel=0.05)
    assert json.loads(json.dumps(mapped.to_json())) == mapped.to_json()
    assert dither.MatchedDose.from_json(found.to_json()) == found


@pytest.mark.parametrize("name", ["pats-blind", "pats-magnitude", "pats-inverted", "pats-idle"])
def test_controls_at_the_energy_of_pats(name: str) -> None:
    options: dict[str, Any] = {"sensitivity_batches": LABELLED}
    pats = dither.match_dose(Encoder(), ROWS, dither.PATS(noise_lambda="matched"), **options)
    method = dither.create_method(name, noise_lambda="energy")
    found = dither.match_energy(Encoder(), ROWS, method, pats.dose, **options)
    assert found.by == "energy"
    assert found.dose.energy == pytest.approx(pats.dose.energy, rel=0.006)  # λ has three digits
    if name in ("pats-blind", "pats-inverted"):  # by what they are, energies are equal at equal λ
        assert found.noise_lambda == pytest.approx(pats.noise_lambda, rel=0.006)


def curve(value: Callable[[float], float]) -> Callable[[float], FunctionalDose]:
    def at(factor: float) -> FunctionalDose:
        d = value(factor)
        names = {"energy": 0.0, "rows": 1, "tokens": 2, "first_left_out": False, "sensitivity_batches": 0}
        return FunctionalDose(
            d=d, draws=(d,), noise_lambda=factor, kind="stays", seed=0, method={"method": "it"}, **names
        )

    return at


@pytest.mark.parametrize(
    ("value", "most"),
    [
        (lambda x: 0.1 * x, 2),  # proportion alone
        (lambda x: 0.1 * x**1.5, 7),
        (lambda x: 0.1 * x**4, 9),  # proportion never comes near
        (lambda x: 1.2 * math.tanh(0.05 * x), 4),
        (lambda x: 0.1 * x if x < 8 else math.nan, 3),
        (lambda x: 0.0 if x < 3 else 0.1 * x, 20),
        (lambda x: 40.0 * x if x < 0.1 else math.nan, 12),
    ],
)
def test_the_search(value: Callable[[float], float], most: int) -> None:
    goal = curve(lambda x: 0.5)(1.0)
    search = Search(curve(value), goal.d)
    search.at(1.0)
    found = search.matched(goal)
    assert found.dose.d == pytest.approx(0.5, rel=0.05)
    assert len(found.tried) <= most


@pytest.mark.parametrize(
    "value", [lambda x: 0.3 * math.tanh(x), lambda x: min(0.3, x) if x < 99 else math.nan]
)
def test_a_dose_that_no_lambda_reaches(value: Callable[[float], float]) -> None:
    goal = curve(lambda x: 0.5)(1.0)
    search = Search(curve(value), goal.d)
    search.at(1.0)
    with pytest.raises(ValueError, match=r"no noise_lambda of it reaches d = 0\.5: the highest d, 0\.3, was"):
        search.matched(goal)


def test_what_cannot_be_matched_says_why() -> None:
    meter = DoseMeter(Encoder(), ROWS, sensitivity_batches=LABELLED)
    for method, message in (
        (dither.PATS(include="head*"), r"does not reach the last hidden states .* such as a head"),
        (dither.NoisyTune(include="norm.weight"), r"all 7 tensors are left alone \(constant, not included\)"),
        (dither.create_method("none"), r"plain fine-tuning has no noise at any strength"),
    ):
        with pytest.raises(ValueError, match=message):
            meter.match(method, dither.NoisyTune())
    with pytest.raises(ValueError, match=r"reference none moves nothing .* so there is no dose to match"):
        meter.match(dither.PATS(), dither.create_method("none"))
    with pytest.raises(ValueError, match=r"reference none has no noise \(energy 0\)"):
        meter.match_energy(dither.PATS(), meter.dose(dither.create_method("none")))
    # These states lie in (−1, 1): they cannot move as far as that.
    far = replace(meter.dose(dither.NoisyTune()), d=50.0)
    with pytest.raises(
        ValueError, match=r"noise_lambda of pats reaches d = 50: the highest d, [\d.]+, was mea"
    ):
        meter.match(dither.PATS(), far)


@pytest.mark.parametrize("kind", [dither.NoisyTune, dither.PATS])
@pytest.mark.parametrize("word", ["matched", "energy"])
def test_a_strength_without_a_number_is_refused_everywhere(kind: Any, word: str) -> None:
    method, model = kind(noise_lambda=word), Encoder()
    call = "match_dose" if word == "matched" else "match_energy"
    message = (
        rf"{kind.__name__} is '{word}', .* dither\.{call}\(.* dataclasses\.replace\(method, noise_lambda="
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    start = partial(dither.apply_, model)
    if kind is dither.PATS:
        start = partial(dither.attach, optimizer=optimizer, model=model, total_steps=3)
    with unchanged(model):
        with pytest.raises(ValueError, match=message):
            NoiseCallback(method)
        with pytest.raises(ValueError, match=message):
            start(method)
    assert replace(method, noise_lambda=0.2) == resolved(method, 0.2) == kind(noise_lambda=0.2)
    with pytest.raises(
        ValueError, match=r"noise_lambda is 'machted'; .* 0\.15, or one of 'matched', 'energy'"
    ):
        kind(noise_lambda="machted")


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_a_fresh_adapter_has_no_dose() -> None:
    peft = pytest.importorskip("peft")
    with torch.random.fork_rng(devices=[]):
        model = peft.get_peft_model(Encoder(), peft.LoraConfig(target_modules=["inner"]))
    meter = DoseMeter(model, ROWS, sensitivity_batches=LABELLED)
    for method, message in (
        (dither.NoisyTune(), r"does not reach .* or the first matrix of a fresh LoRA"),
        (dither.PATS(), r"the gradient of what it noises is 0 at these weights, as in a fresh LoRA"),
    ):
        assert meter.dose(method).d == 0.0
        with pytest.raises(ValueError, match=message):
            meter.match(method, meter.dose(dither.NoisyTune(frozen=True)))
    assert (
        meter.match(dither.NoisyTune(frozen=True, noise_lambda=0.4), dither.NoisyTune(frozen=True)).by == "d"
    )
