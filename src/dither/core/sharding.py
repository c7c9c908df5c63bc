"""Sharded tensors: what of a DTensor lies in this process, where, and with whom its sums are added up.

A tensor that is no DTensor is all here. Nothing in this module loads torch.distributed: where there is a
DTensor, it is loaded already.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dither.core.places import WHOLE, Place

_SHARDS = ("Shard", "_StridedShard")  # the second is how torch writes FSDP2 over tensor parallelism


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, whatever its placements.

    Example:
        >>> is_sharded(torch.zeros(3))
        False
    """
    distributed = sys.modules.get("torch.distributed.tensor")
    return distributed is not None and isinstance(tensor, distributed.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The elements of a tensor that lie in this process, in the tensor's own memory."""
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        part: Any = tensor.to_local()  # type: ignore[attr-defined]
    # What a collective has promised may still be under way.
    return part.wait() if hasattr(part, "wait") else part


def place_of(tensor: Tensor) -> Place:
    """Where the elements that lie here are in the logical tensor.

    Raises:
        ValueError: the placements are not those of one block of elements, or this process is not of the mesh.
    """
    if not is_sharded(tensor):
        return WHOLE
    sharded: Any = tensor
    coordinate, mesh = sharded.device_mesh.get_coordinate(), sharded.device_mesh
    if coordinate is None:
        raise ValueError("has no part in this process, which does not belong to its mesh")
    indices = [torch.arange(size) for size in tensor.shape]
    for dim, placement in enumerate(sharded.placements):
        kind = type(placement).__name__
        if kind in _SHARDS:
            pieces = getattr(placement, "split_factor", 1) if kind == "_StridedShard" else 1
            chunks = [_chunk(indices[placement.dim], pieces, number) for number in range(pieces)]
            own = torch.cat([_chunk(chunk, mesh.size(dim), coordinate[dim]) for chunk in chunks])
            indices[placement.dim] = own
        elif kind == "Partial":
            raise ValueError(
                f"has the placement {placement}: its values have still to be added up; redistribute it"
            )
        elif kind != "Replicate":
            raise ValueError(f"has the placement {placement}, of which dither knows nothing; redistribute it")
    size, held = [len(own) for own in indices], local(tensor)
    for dim, own in enumerate(indices):
        if len(own) and int(own[-1] - own[0]) != len(own) - 1:
            raise ValueError(f"is placed as {sharded.placements}, in pieces along dimension {dim}")
    if held.numel() != math.prod(size):
        raise ValueError(
            f"has shape {tuple(held.shape)} in this process, where {sharded.placements} of "
            f"{tuple(tensor.shape)} make it {tuple(size)}; shard it with distribute_tensor or fully_shard"
        )
    return Place.of_box([int(own[0]) if len(own) else 0 for own in indices], size, tensor.shape)


def aligned(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor with the placements of another one, as a parameter's gradient need not have."""
    if same_placements(tensor, like) or not (is_sharded(tensor) and is_sharded(like)):
        return tensor
    return tensor.redistribute(placements=like.placements)  # type: ignore[attr-defined]


def same_placements(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape have the same parts in every process: both whole, or cut alike."""
    given, wanted = getattr(one, "placements", None), getattr(other, "placements", None)
    return given is wanted or given == wanted


class Ranks:
    """The processes that hold the parts of some tensors, and add up what each found in its own.

    True where there is anything to add up. Replicas hold equal parts, so each of them counts its own alone.

    Args:
        tensors: in the same order in every process.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        found: dict[tuple[int, ...], tuple[Any, str, list[int]]] = {}
        for row, tensor in enumerate(tensors):
            for group, device in _groups(tensor):
                # Equal meshes may have groups of their own: those of the same processes are as good as one.
                members = tuple(torch.distributed.get_process_group_ranks(group))
                found.setdefault(members, (group, device, []))[2].append(row)
        self._groups = [(group, device, torch.tensor(rows)) for group, device, rows in found.values()]

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add_up(self, rows: Tensor) -> Tensor:
        """Replace each row that belongs to a sharded tensor by its sum over the processes.

        One collective for each process group, whatever the number of tensors and elements. A tensor that is
        sharded over several dimensions of a mesh is added up along one after the other.

        Args:
            rows: (k, n), one for each tensor, of an integer dtype or with whole numbers below 2^53.

        Returns:
            `rows`, written.
        """
        for group, device, index in self._groups:
            index = index.to(rows.device, non_blocking=True)
            mine = rows[index].to(device)
            try:
                torch.distributed.all_reduce(mine, group=group)
            except RuntimeError as error:
                raise RuntimeError(
                    "what the processes of a mesh found could not be added up: each of them has to make the "
                    f"same calls of dither, and the same optimizer steps, on the same tensors ({error})"
                ) from error
            rows[index] = mine.to(rows.device)
        return rows


def reshard(model: nn.Module) -> None:
    """Let every module of FSDP2 drop its gathered weights: the next forward pass gathers what is written now.

    Otherwise the root module, which keeps them after a forward pass, would compute with the old ones.
    """
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kind = getattr(fsdp, "FSDPModule", None)
    if kind is not None:
        for module in model.modules():
            if isinstance(module, kind):
                module.reshard()


def _chunk(indices: Tensor, parts: int, number: int) -> Tensor:
    """Part `number` of `parts`, as DTensor cuts: all as long as the first but for the last ones."""
    size = -(-len(indices) // parts)
    return indices[number * size : (number + 1) * size]


def _groups(tensor: Tensor) -> list[tuple[Any, str]]:
    """The process groups that share a tensor's parts, each with the kind of device that it talks through."""
    if not is_sharded(tensor):
        return []
    mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    return [
        (mesh.get_group(dim), mesh.device_type)
        for dim, placement in enumerate(placements)
        if type(placement).__name__ in _SHARDS and mesh.size(dim) > 1
    ]
