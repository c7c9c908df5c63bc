"""A model of every kind of tensor, sharded in every way, and the noise on it beside that of one process.

The functions are called in each process of a group and return what can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import device_mesh
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard
from torch.nn.parallel import DistributedDataParallel
from zoo import DURING, METHODS, STEPS, Zoo, create, gradient, values

import dither
from dither.core.names import canonical_name

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64, 1: torch.int8}


class Shapes(nn.Module):
    """Tensors for every way of cutting: long, flat, with fewer rows than processes, in half precision."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {
            "large": (1030, 515),
            "tall": (67, 9),
            "wide": (3, 1030),
            "short": (2, 40),
            "conv": (6, 5, 3, 3),
            "rows": (1, 33),
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(values(name, shape)))
        self.narrow = nn.Parameter(values("narrow", (37, 50), torch.bfloat16))
        self.zoo = Zoo()


@cache
def mesh_of(*shape: int) -> DeviceMesh:
    """The mesh of this shape, made once: its process groups keep threads for as long as the process lives."""
    return device_mesh.init_device_mesh("cpu", shape, mesh_dim_names=("outer", "inner")[: len(shape)])


def last(dims: int) -> Shard:
    return Shard(dims - 1)


def second(dims: int) -> Shard:
    return Shard(min(1, dims - 1))


# Placements on one or two dimensions of a mesh, by the dimensions of the tensor.
ONE: dict[str, Callable[[int], list[Any]]] = {
    "Shard(0)": lambda dims: [Shard(0)],
    "Shard(1)": lambda dims: [second(dims)],
    "Shard(-1)": lambda dims: [last(dims)],
    "Replicate": lambda dims: [Replicate()],
}
TWO: dict[str, Callable[[int], list[Any]]] = {
    "Shard(0) x Shard(1)": lambda dims: [Shard(0), second(dims)],
    "Shard(1) x Shard(0)": lambda dims: [second(dims), Shard(0)],
    "Replicate x Shard(0)": lambda dims: [Replicate(), Shard(0)],
    "Shard(-1) x Replicate": lambda dims: [last(dims), Replicate()],
    "Shard(0) x Shard(0)": lambda dims: [Shard(0), Shard(0)],
    "_StridedShard(0) x Shard(0)": lambda dims: [_StridedShard(0, split_factor=2), Shard(0)],
}
REPLICAS = "DistributedDataParallel"
FULLY = ("fully_shard", "fully_shard of replicas", "fully_shard over Shard(0)", "fully_shard over Shard(1)")


def ways(size: int) -> list[str]:
    """The ways to shard that a number of processes allows."""
    return [REPLICAS, *ONE, FULLY[0], *((*TWO, *FULLY[1:]) if size == 4 else ())]


def sharded(way: str, size: int) -> nn.Module:
    """The model, with each of its floating-point tensors sharded, or the replicas of DDP."""
    model = Shapes()
    if way == REPLICAS:
        return DistributedDataParallel(model)
    if way == FULLY[0]:
        return fully_shard(model, mesh=mesh_of(size), ignored_params=whole(model))
    if way in ONE:
        return placed(model, mesh_of(size), ONE[way])
    mesh = mesh_of(2, size // 2)
    if way == FULLY[1]:
        return fully_shard(model, mesh=mesh, ignored_params=whole(model))
    if way in FULLY:
        inner = placed(model, mesh["inner"], ONE[way.removeprefix("fully_shard over ")])
        return fully_shard(inner, mesh=mesh["outer"], ignored_params=whole(model))
    return placed(model, mesh, TWO[way])


def whole(model: nn.Module) -> set[nn.Parameter]:
    """What FSDP2 does not take: no dimension, no float, no element."""
    return {
        parameter
        for parameter in model.parameters()
        if not parameter.dim() or not parameter.is_floating_point() or not parameter.numel()
    }


def placed(model: nn.Module, mesh: DeviceMesh, rule: Callable[[int], list[Any]]) -> nn.Module:
    """The model with its parameters placed on a mesh; tied ones stay tied."""
    done: dict[nn.Parameter, nn.Parameter] = {}
    kept = whole(model)
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None or parameter in kept:
                continue
            if parameter not in done:
                there = distribute_tensor(parameter.detach(), mesh, rule(parameter.dim()), src_data_rank=None)
                done[parameter] = nn.Parameter(there, requires_grad=parameter.requires_grad)
            module._parameters[name] = done[parameter]
    return model


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A full tensor as the parameter is placed."""
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)


def here(tensor: Tensor) -> Tensor:
    """What of a tensor lies in this process."""
    return tensor.detach().to_local() if isinstance(tensor, DTensor) else tensor.detach()


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """One tensor after the other, with the same operations for every shape."""
    chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(chosen, lr=0.01, eps=1e-4, foreach=False)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Steps with the gradients of `zoo`, whatever the sharding; the rate falls."""
    for step in steps:
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / STEPS)
        for path, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.grad = like(gradient(canonical_name(path), step, parameter), parameter)
        optimizer.step()


def noised(name: str, model: nn.Module) -> dither.Record:
    """Noise by a method, at each step where it is one of those."""
    if name not in DURING:
        return dither.apply_(model, create(name))
    optimizer = optimizer_of(model)
    handle = dither.attach(create(name), optimizer, model, total_steps=STEPS)
    train(model, optimizer, range(STEPS))
    handle.detach()
    for parameter, state in optimizer.state.items():
        if "dither_sensitivity" in state:
            parameter.average = state["dither_sensitivity"]
    return handle.record()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and averages by canonical name."""
    found: dict[str, Tensor] = {}
    for path, parameter in model.named_parameters():
        name = canonical_name(path)
        found[name] = parameter
        if hasattr(parameter, "average"):
            found[f"average of {name}"] = parameter.average
    return found


def differing(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[int, int]:
    """How many elements here were compared with those of whole tensors, and how many differ in any bit."""
    assert found.keys() == expected.keys()
    elements = wrong = 0
    for name, tensor in found.items():
        kind = INTEGERS[tensor.element_size()]
        ours, theirs = here(tensor), here(like(expected[name].detach(), tensor))
        assert ours.shape == theirs.shape or ours.numel() == theirs.numel() == 0, name
        elements += ours.numel()
        bits = [one.reshape(-1).view(kind) for one in (ours, theirs)]
        wrong += int((bits[0] != bits[1]).sum())
    return elements, wrong


def matrix(way: str, size: int, names: list[str]) -> dict[str, tuple[int, int, int, bool]]:
    """Each method on the sharded model beside one process.

    Returns:
        By method: elements compared, elements that differ, sharded tensors, whether the records agree.
    """
    found = {}
    for name in names:
        alone, together = Shapes(), sharded(way, size)
        records = noised(name, alone), noised(name, together)
        counts = differing(tensors(together), tensors(alone))
        shards = sum(isinstance(parameter, DTensor) for parameter in together.parameters())
        found[name] = (*counts, shards, agree(*records))
    return found


def agree(one: dither.Record, other: dither.Record) -> bool:
    """Whether two records tell the same; energies of parts are added up in another order."""
    pairs = zip(one.tensors, other.tensors, strict=True)
    for a, b in pairs:
        if (a.name, a.shape, a.reason, a.std, a.unchanged) != (b.name, b.shape, b.reason, b.std, b.unchanged):
            return False
        for field in ("requested", "effective"):
            x, y = getattr(a, field) or 0.0, getattr(b, field) or 0.0
            if abs(x - y) > 4e-6 * x:
                return False
    return one.recipe_hash == other.recipe_hash and one.steps == other.steps


NAMES = list(METHODS)
