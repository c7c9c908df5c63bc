"""Modules with the parameters of a real model: right names and shapes, values of the usual size."""

import torch
from torch import Tensor, nn

from benchmarks.shapes import Shapes

SPREAD = 0.02
_TILE = 1 << 18


class ShapedModel(nn.Module):
    """Parameters of given names and shapes, nested as their names say."""

    def __init__(self, shapes: Shapes, dtype: torch.dtype, device: str) -> None:
        super().__init__()
        tile = normal_tile(dtype, device)
        for name, shape in shapes.items():
            *path, leaf = name.split(".")
            parent: nn.Module = self
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.register_parameter(leaf, nn.Parameter(filled(shape, tile)))


def normal_tile(dtype: torch.dtype, device: str, spread: float = SPREAD) -> Tensor:
    """Normal values of a given spread, to fill tensors from: drawing billions would take minutes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_TILE, generator=generator).mul_(spread).to(device=device, dtype=dtype)


def filled(shape: tuple[int, ...], tile: Tensor) -> Tensor:
    """A tensor that repeats the tile, made without temporaries (they would hide in the peak memory)."""
    tensor = torch.empty(shape, dtype=tile.dtype, device=tile.device)
    flat = tensor.view(-1)
    whole = flat.numel() // tile.numel() * tile.numel()
    flat[:whole].view(-1, tile.numel()).copy_(tile)
    flat[whole:].copy_(tile[: flat.numel() - whole])
    return tensor
