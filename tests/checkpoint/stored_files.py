"""Files written by hand: any header, right or wrong, before any bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def raw(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A file of a header, that may promise another length, and data."""
    prefix = struct.pack("<Q", len(header) if length is None else length)
    path.write_bytes(prefix + header + data)
    return path


def written(path: Path, rows: dict[str, Any], data: bytes = b"") -> Path:
    """A file whose header says `rows`."""
    return raw(path, json.dumps(rows).encode(), data)


def row(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    """What a header says of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def save(path: Path, tensors: dict[str, Tensor]) -> Path:
    """A right file, by the safetensors library; it writes several metadata in no fixed order."""
    from safetensors.torch import save_file

    save_file(tensors, path, metadata={"note": "mine"})
    return path


def load(path: Path) -> dict[str, Tensor]:
    """All tensors of a file or of the files in a folder, by the safetensors library."""
    from safetensors.torch import load_file

    paths = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return {name: value for one in paths for name, value in load_file(one).items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Equal names and equal bits."""
    return set(one) == set(other) and all(
        value.dtype == other[name].dtype
        and torch.equal(value.reshape(-1).view(torch.uint8), other[name].reshape(-1).view(torch.uint8))
        for name, value in one.items()
    )


def normal(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Seeded normal numbers, with a zero among them."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.05
    values.view(-1)[:1] = 0.0
    return values.to(dtype)
