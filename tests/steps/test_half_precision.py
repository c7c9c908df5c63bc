"""Noise that half precision swallows, or that would leave its range, is said by the tensor's name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dither

GENERATOR = torch.Generator().manual_seed(0)


def trained(model: nn.Module, method: dither.PATS, total: int, steps: int = 9) -> dither.Record:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    handle = dither.attach(method, optimizer, model, total_steps=total, schedule=lambda step: 1.0)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=GENERATOR).to(parameter.dtype)
        optimizer.step()
    return handle.record()


def net(dtype: torch.dtype) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 32))
    for module in model:
        nn.init.normal_(module.weight, std=0.04, generator=GENERATOR)  # type: ignore[arg-type]
    return model.to(dtype)


def test_noise_that_rounding_swallows_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    record = trained(net(torch.bfloat16), dither.PATS(), 30_000)
    (said,) = [one for one in caplog.messages if "swallows" in one]
    assert said.startswith("PATS: rounding to bfloat16 swallows noise: at a step 9")
    assert "PATS(rounding='stochastic')" in said
    assert said.removeprefix("PATS: ") in record.message


@pytest.mark.parametrize(
    ("dtype", "method", "total"),
    [
        (torch.bfloat16, dither.PATS(), 30),
        (torch.bfloat16, dither.PATS(rounding="stochastic"), 30_000),
        (torch.float32, dither.PATS(), 30_000),
    ],
)
def test_what_is_not_swallowed(
    dtype: torch.dtype, method: dither.PATS, total: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert trained(net(dtype), method, total).message == ""
    assert "swallows" not in caplog.text


def test_a_tensor_that_noise_would_take_out_of_its_range_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    model = net(torch.float16)
    with torch.no_grad():
        model[0].weight[0, 0] = 65504.0
    record = trained(model, dither.PATS(noise_lambda=5.0), 9)
    (said,) = [one for one in caplog.messages if "range" in one]
    assert "tensor '0.weight' got no noise at some steps" in said
    assert "leave the range of float16" in record.message
    assert [row.effective for row in record.tensors if row.path == "0.weight"] == [0.0]
    assert [(row.effective or 0.0) > 0.0 for row in record.tensors if row.path == "1.weight"] == [True]
    assert torch.isfinite(model[0].weight).all()


class Strange(torch.Tensor):
    """A gradient without values of its own."""

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        raise NotImplementedError("no values")


def test_a_gradient_that_is_refused_names_its_parameter() -> None:
    model = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    model.weight.grad = torch.ones(4, 4)
    strange = torch.Tensor._make_wrapper_subclass(Strange, (4, 4))  # type: ignore[attr-defined]
    optimizer.register_step_post_hook(lambda *_: None)
    handle._noise._held = [strange]
    model.weight.grad = None
    with pytest.raises(TypeError, match=r"the gradient of 'weight' cannot be read: .*; no noise was added"):
        handle._noise.add()
    assert handle.step == 0


def test_a_warm_up_is_not_taken_for_the_run(caplog: pytest.LogCaptureFixture) -> None:
    model = net(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-11)
    rates = [0.01] * 20 + [1.0] * 10
    dither.attach(dither.PATS(lr_max=1e-9), optimizer, model, schedule=rates)
    for _ in range(10):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=GENERATOR).to(parameter.dtype)
        optimizer.step()
    assert "swallows" not in caplog.text
