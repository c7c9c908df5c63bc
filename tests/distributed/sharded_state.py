"""Checkpoints of sharded runs, and what is said of state and of parameters that cannot be used."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from sharded_models import differing, mesh_of, optimizer_of, tensors, train
from sharded_training import METHOD, Net, wrapped
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard
from zoo import STEPS, create

import dither
from dither.steps import AVERAGE


def started(size: int, folder: str) -> None:
    """Two steps, saved; then two more."""
    model, optimizer, _ = attached(size)
    train(model, optimizer, range(2))
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder)
    train(model, optimizer, range(2, STEPS))


def attached(size: int) -> tuple[nn.Module, torch.optim.Optimizer, dither.Handle]:
    model = wrapped(Net(), size)
    optimizer = optimizer_of(model)
    return model, optimizer, dither.attach(METHOD, optimizer, model, total_steps=STEPS)


def resumed(size: int, folder: str) -> tuple[int, int, int, int, bool]:
    """From the file, with any number of processes, beside an uninterrupted run of one.

    Returns:
        Elements that loading moved and steps that it counted; elements compared at the end and those that
        differ; whether the record goes on.
    """
    alone = Net()
    optimizer = optimizer_of(alone)
    handle = dither.attach(METHOD, optimizer, alone, total_steps=STEPS)
    train(alone, optimizer, range(2))
    halfway = Net()
    halfway.load_state_dict(alone.state_dict())
    train(alone, optimizer, range(2, STEPS))
    model, ours, its = attached(size)
    weights, state = get_state_dict(model, ours)
    dcp.load({"model": weights, "optimizer": state}, checkpoint_id=folder)
    set_state_dict(model, ours, model_state_dict=weights, optim_state_dict=state)
    moved = differing(tensors(model), tensors(halfway))[1]
    steps = its.step
    train(model, ours, range(2, STEPS))
    for one in (alone, model):
        for parameter, kept in (optimizer if one is alone else ours).state.items():
            parameter.average = kept[AVERAGE]
    near = [
        abs((a.effective or 0) - (b.effective or 0)) <= 4e-6 * (a.effective or 0)
        for a, b in zip(handle.record().tensors, its.record().tensors, strict=True)
    ]
    return moved, steps, *differing(tensors(model), tensors(alone)), all(near)


def refusals(size: int) -> dict[str, str]:
    """What is said about parameters that cannot be noised, and state that cannot be continued."""
    mesh = mesh_of(size)
    whole = torch.ones(8, 4)
    odd = torch.ones(3 if mesh.get_local_rank() == 0 else 5, 4)
    strange = {
        "uneven": DTensor.from_local(odd, mesh, [Shard(0)], shape=whole.shape, stride=whole.stride()),
        "partial": DTensor.from_local(whole, mesh, [Partial()]),
        "pieces": distribute_tensor(whole, mesh, [_StridedShard(0, split_factor=2)], src_data_rank=None),
        "meta": distribute_tensor(torch.ones(8, 4, device="meta"), mesh, [Shard(0)], src_data_rank=None),
    }
    found = {}
    for name, tensor in strange.items():
        model = nn.Module()
        model.weight = nn.Parameter(tensor)
        found[name] = said(lambda model=model: dither.noisytune_(model))
    from torch.distributed.fsdp import FullyShardedDataParallel

    for original in (True, False):
        old = FullyShardedDataParallel(Net(), use_orig_params=original, device_id=torch.device("cpu"))
        found[f"fsdp1 {original}"] = said(lambda old=old: dither.noisytune_(old))
    for name, spoil in SPOILT.items():
        model, optimizer, _ = attached(size)
        train(model, optimizer, range(2))
        spoil(optimizer.state[model.head.weight])
        found[name] = said(lambda model=model, optimizer=optimizer: train(model, optimizer, range(2, 3)))
    return found


def partial_gradient(size: int) -> tuple[int, int, list[bool]]:
    """A replicated weight whose gradient has still to be added up; only the last process has any of it."""
    mesh = mesh_of(size)
    rank = mesh.get_local_rank()
    models = [nn.Module(), nn.Module()]
    steps = []
    for number, model in enumerate(models):
        weight = torch.linspace(-1, 1, 24).view(6, 4)
        sharded = number == 1
        model.weight = nn.Parameter(
            distribute_tensor(weight, mesh, [Replicate()], src_data_rank=None) if sharded else weight
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        handle = dither.attach(METHOD, optimizer, model, total_steps=STEPS)
        for lr in (0.0, 0.1, 0.1):
            optimizer.param_groups[0]["lr"] = lr
            slope = torch.ones(6, 4).cumsum(0)
            if sharded:
                slope = DTensor.from_local(slope * (rank == size - 1), mesh, [Partial()])
            model.weight.grad = slope
            optimizer.step()
        steps.append(handle.step)
    return (*differing(tensors(models[1]), tensors(models[0])), [step == 3 for step in steps])


def gradient_of_one_process(name: str, size: int) -> list[tuple[float, ...]]:
    """m of two sharded tensors, of which one has a gradient in the first process alone at the second step."""
    mesh = mesh_of(size)
    model = nn.Module()
    for letter in "ab":
        there = distribute_tensor(torch.linspace(1, 2, 32).view(8, 4), mesh, [Shard(0)], src_data_rank=None)
        model.register_parameter(letter, nn.Parameter(there))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0001)
    dither.attach(create(name), optimizer, model, total_steps=STEPS)
    for step in range(3):
        for letter, parameter in model.named_parameters():
            missing = step == 1 and letter == "b" and mesh.get_local_rank() > 0
            slope = torch.full((8, 4), 1.0 + step)
            parameter.grad = (
                None if missing else distribute_tensor(slope, mesh, [Shard(0)], src_data_rank=None)
            )
        optimizer.step()
    return [tuple(group["dither"]["mean"]) for group in optimizer.param_groups]


SPOILT = {
    "lost": lambda state: state.pop(AVERAGE),
    "whole": lambda state: state.update({AVERAGE: torch.zeros(state[AVERAGE].shape)}),
    "of another shape": lambda state: state.update({AVERAGE: torch.zeros(3)}),
}


def said(call: Any) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return "nothing was said"
