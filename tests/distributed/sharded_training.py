"""What happens around sharded training, as functions that each process of a group calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from sharded_models import Shapes, differing, like, mesh_of, optimizer_of, sharded, tensors, train
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from zoo import STEPS, values

import dither
from dither.steps import AVERAGE

METHOD = dither.PATS(noise_lambda=0.5, vectors=True)


class Net(nn.Module):
    """Layers that FSDP2 wraps one by one, and a root that keeps its gathered weights after a forward pass."""

    def __init__(self, width: int = 33) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 65), nn.Tanh(), nn.Linear(65, width))
        self.head = nn.Linear(width, 3)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(values(name, tuple(parameter.shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


def wrapped(model: Net, size: int) -> Net:
    """As users do: each layer, then the whole."""
    mesh = mesh_of(size)
    for layer in (model.layers[0], model.layers[2]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    return model


def batch(rows: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(rows, 33, generator=torch.Generator().manual_seed(seed))


def before_and_after_wrapping(size: int) -> tuple[int, int]:
    """NoisyTune before fully_shard, and after it: elements compared, and how many differ."""
    before, after = Net(), wrapped(Net(), size)
    dither.noisytune_(before)
    dither.noisytune_(after)
    return differing(tensors(after), tensors(wrapped(before, size)))


def evaluated_with_noise(size: int) -> tuple[bool, bool, bool]:
    """Whether outputs inside `perturbed`, outputs afterwards and weights afterwards are as they should be."""
    alone, model = Net(), wrapped(Net(), size)
    kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        plain = model(batch())
        with dither.perturbed(model, dither.NoisyTune(noise_lambda=0.5)):
            noisy = model(batch())
        again = model(batch())
        with dither.perturbed(alone, dither.NoisyTune(noise_lambda=0.5)):
            expected = alone(batch())
    for module in (model, *model.layers[::2]):
        module.reshard()
    restored = all(torch.equal(kept[name].to_local(), p.to_local()) for name, p in model.named_parameters())
    return torch.equal(noisy, expected) and not torch.equal(noisy, plain), torch.equal(again, plain), restored


def noised_after_forward(size: int) -> tuple[int, int]:
    """NoisyTune on a model whose root holds gathered weights: the next forward pass uses the noised ones."""
    alone, model = Net(), wrapped(Net(), size)
    with torch.no_grad():
        model(batch())
    dither.noisytune_(model, noise_lambda=0.5)
    dither.noisytune_(alone, noise_lambda=0.5)
    with torch.no_grad():
        assert torch.equal(model(batch()), alone(batch()))
    return differing(tensors(model), tensors(alone))


def trained(size: int, rank_batches: bool) -> tuple[list[float], int, float, float]:
    """Real steps with fully_shard: losses, the handle's count, and the noise that was asked for and made."""
    model = wrapped(Net(), size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    handle = dither.attach(METHOD, optimizer, model, total_steps=6)
    losses = []
    for step in range(6):
        seed = step * 10 + (dist.get_rank() if rank_batches else 0)
        loss = model(batch(seed=seed)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    record = handle.record()
    return losses, handle.step, record.root_mean_square("requested"), record.root_mean_square()


def warm_up(way: str, size: int) -> tuple[int, int, int]:
    """Steps of rate 0, real ones and empty ones: elements compared, those that differ, steps counted."""
    models = [Shapes(), sharded(way, size)]
    for model in models:
        optimizer = optimizer_of(model)
        handle = dither.attach(METHOD, optimizer, model, total_steps=STEPS)
        train(model, optimizer, range(1))
        for sizes in (1.0, 0.0, 1.0):
            optimizer.param_groups[0]["lr"] = 0.0
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:  # one row has a gradient: some processes see none at all
                    slope = torch.zeros(parameter.shape, dtype=parameter.dtype)
                    slope.view(-1)[-1:] = sizes if name == "tall" else 0.0
                    parameter.grad = like(slope, parameter)
            optimizer.step()
        train(model, optimizer, range(1, STEPS))
        for parameter, state in optimizer.state.items():
            if AVERAGE in state:
                parameter.average = state[AVERAGE]
    return (*differing(tensors(models[1]), tensors(models[0])), handle.step)


@contextmanager
def counted(calls: list[int]) -> Iterator[None]:
    """Note the bytes of every collective that is made by hand, and refuse those that DTensors make."""
    from torch.distributed.tensor.debug import CommDebugMode

    real = dist.all_reduce

    def noting(tensor: Tensor, *arguments: Any, **more: Any) -> Any:
        calls.append(tensor.numel() * tensor.element_size())
        return real(tensor, *arguments, **more)

    dist.all_reduce = noting
    try:
        with CommDebugMode() as mode:
            yield
        assert mode.get_total_counts() == len(calls), mode.get_comm_counts()
    finally:
        dist.all_reduce = real


def messages(size: int, two: bool, width: int) -> tuple[int, list[int], list[int], list[int]]:
    """Noised tensors, and the bytes of each collective at NoisyTune, at attach and at a step."""
    model = Net(width)
    mesh = mesh_of(2, size // 2) if two else mesh_of(size)
    placements = [Shard(0), Replicate()] if two else [Shard(0)]
    for module in model.modules():
        for number, (name, parameter) in enumerate(list(module._parameters.items())):
            if parameter is not None:
                cut = [Shard(0), Shard(1)] if two and parameter.dim() == 2 and not number else placements
                there = distribute_tensor(parameter.detach(), mesh, cut)
                module._parameters[name] = nn.Parameter(there)
    found: list[list[int]] = [[], [], []]
    with counted(found[0]):
        record = dither.noisytune_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with counted(found[1]):
        handle = dither.attach(METHOD, optimizer, model, total_steps=3)
    for parameter in model.parameters():
        parameter.grad = like(torch.ones(parameter.shape), parameter)
    with counted(found[2]):
        optimizer.step()
    with counted([]):
        handle.record()
    return record.counts()["noised"], *found
