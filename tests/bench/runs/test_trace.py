"""What is counted while a run trains: against the raw products of each step, kept by a loop."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import dither
from dither.bench.runs.parameter_groups import groups_of
from dither.bench.runs.trace import Trace
from dither.core.histogram import LogCounts, dense
from dither.core.parameter_types import layer_of
from dither.core.phases import phases_of


class Net(nn.Module):
    """Two layers, one with a frozen bias, and a module that no step reaches."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])
        self.unused = nn.Linear(6, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.layers[1].bias.requires_grad_(False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            values = layer(values).tanh()
        return values.square().mean()


def train(total: int, *, rates=None, skipped=(), stop=None, noise: bool = True, leads: bool = True):
    """Train with a Trace; return what it found and the products of every step, by canonical name."""
    model = Net()
    chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=0.1, fused=True)
    state = SimpleNamespace(max_steps=total, global_step=0, is_world_process_zero=leads)
    trace, raw = Trace(), {}
    trace.on_train_begin(None, state, None, model=model, optimizer=optimizer)

    def keep(*_):
        trained = [(path, one) for path, one in model.named_parameters() if one.grad is not None]
        raw[state.global_step + 1] = {path: (one.detach() * one.grad).abs() for path, one in trained}

    optimizer.register_step_post_hook(keep)
    if noise:
        dither.attach(dither.PATS(seed=0, noise_lambda=1.0, lr_max=0.1), optimizer, model, total_steps=total)
    for step in range(1, (stop or total) + 1):
        optimizer.param_groups[0]["lr"] = (rates or {}).get(step, 0.1)
        if skipped:
            optimizer.found_inf = torch.tensor(float(step in skipped))
        optimizer.zero_grad()
        model(torch.ones(2, 6) * step).backward()
        optimizer.step()
        state.global_step += 1
    trace.on_train_end(None, state, None)
    return trace.found, raw


def products(raw, steps, chosen) -> torch.Tensor:
    """The products of some steps and parameters, one after the other."""
    return torch.cat([one.flatten() for step in steps for path, one in raw[step].items() if path in chosen])


def check(found, raw) -> None:
    """Every number of a trace, from the products that were kept."""
    groups, trained = groups_of(Net()), set(raw[1])
    for row in found:
        for kind in row["types"]:
            chosen = {name for name in trained if groups[name] == (kind["type"], kind["shape"])}
            expected = LogCounts.of(products(raw, row["steps"], chosen))
            assert (kind["count"], kind["zeros"], kind["nonfinite"]) == (expected.count, expected.zeros, 0)
            assert dense(kind["histogram"]).tolist() == expected.bins.tolist()
            assert kind["mean"] == pytest.approx(expected.mean, rel=1e-6)
        assert sum(kind["count"] for kind in row["types"]) == sum(one["count"] for one in row["layers"])
        for layer in row["layers"]:
            key = layer["layer"], layer["type"]
            chosen = {name for name in trained if (layer_of(name), groups[name][0]) == key}
            expected = LogCounts.of(products(raw, row["steps"], chosen))
            assert (layer["count"], layer["zeros"]) == (expected.count, expected.zeros)
            assert layer["mean"] == pytest.approx(expected.mean, rel=1e-6)


@pytest.mark.parametrize("total", [3, 50])
@pytest.mark.parametrize("noise", [True, False])
def test_the_counts_are_those_of_the_products_before_the_noise(total, noise):
    found, raw = train(total, noise=noise)
    phases = phases_of(total)
    assert [(row["first"], row["last"], tuple(row["steps"])) for row in found] == [
        (phase.first, phase.last, phase.samples) for phase in phases
    ]
    check(found, raw)
    assert {row["layer"] for row in found[0]["layers"]} == {0, 1}  # no step reached what stands outside


def test_a_step_without_a_rate_counts_and_a_skipped_one_does_not():
    first, second = phases_of(50)[:2]
    found, raw = train(50, rates={first.samples[0]: 0.0}, skipped=(first.samples[1], *second.samples))
    assert found[0]["steps"] == [first.samples[0], *first.samples[2:]]
    assert [row["first"] for row in found] == [phase.first for phase in phases_of(50) if phase != second]
    check(found, raw)


def test_training_that_stops_tells_of_the_phase_it_was_in():
    third = phases_of(50)[2]
    found, raw = train(50, stop=third.samples[1])
    assert [row["last"] for row in found] == [phase.last for phase in phases_of(50)[:3]]
    assert found[-1]["steps"] == list(third.samples[:2])
    check(found, raw)


def test_a_replica_that_does_not_lead_counts_nothing():
    assert train(10, leads=False)[0] == []
