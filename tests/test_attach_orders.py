"""Which tensors are constant follows the state: in every order of building, loading and attaching."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither

ORDERS = ("weights, state, attach", "weights, attach, state", "attach, weights, state")
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"vectors": True},
    {"across": "model"},
    {"across": "model", "vectors": True},
)


def built(kind: str) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if kind == "pages":  # what to_empty gives
                parameter.zero_()
            elif kind == "pretrained":
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        data = torch.randn(8, 16, generator=torch.Generator().manual_seed(step))
        model(data).square().mean().backward()
        optimizer.step()


def whole_run(settings: dict[str, Any], zero_head: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A checkpoint after 5 of 10 steps, and the weights of the end."""
    model = built("pretrained")
    if zero_head:
        nn.init.zeros_(model[2].weight)  # constant at the start, and trained
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    dither.attach(dither.PATS(seed=0, **settings), optimizer, model, total_steps=10, schedule=[1.0] * 10)
    train(model, optimizer, range(5))
    saved = {"weights": model.state_dict(), "state": optimizer.state_dict()}
    saved = copy.deepcopy(saved)
    train(model, optimizer, range(5, 10))
    return saved, model.state_dict()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("zero_head", [False, True])
def test_every_order_gives_the_same_bits(settings: dict[str, Any], zero_head: bool, caplog: Any) -> None:
    checkpoint, end = whole_run(settings, zero_head)
    for order, kind in itertools.product(ORDERS, ("fresh", "pages")):
        model, saved = built(kind), copy.deepcopy(checkpoint)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for act in order.split(", "):
            if act == "weights":
                model.load_state_dict(saved["weights"])
            elif act == "state":
                optimizer.load_state_dict(saved["state"])
            else:
                method = dither.PATS(seed=0, **settings)
                handle = dither.attach(method, optimizer, model, total_steps=10, schedule=[1.0] * 10)
        train(model, optimizer, range(5, 10))
        assert all(torch.equal(one, end[name]) for name, one in model.state_dict().items()), (order, kind)
        constant = {row.path for row in handle.record().tensors if row.reason == "constant"}
        assert constant == ({"2.weight"} if zero_head else set())
        handle.detach()
        assert "writes into .grad" not in caplog.text


def test_a_lost_average_is_refused_under_one_mean_too() -> None:
    """A loader that asks for what it knows of loses the averages of tensors that were constant when asked."""
    saved, _ = whole_run({"across": "model"}, zero_head=False)
    saved["state"]["state"][0].pop("dither_sensitivity")
    model = built("fresh")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    dither.attach(dither.PATS(seed=0, across="model"), optimizer, model, total_steps=10)
    model.load_state_dict(saved["weights"])
    optimizer.load_state_dict(saved["state"])
    with pytest.raises(ValueError, match=r"average 'dither_sensitivity' of '0\.weight' is missing"):
        train(model, optimizer, range(5, 6))
