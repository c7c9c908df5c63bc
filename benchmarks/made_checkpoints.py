"""Checkpoints of any size, made for the purpose: right names and shapes, seeded numbers."""

import json
import math
import struct
from pathlib import Path

import torch

_SHARD = 2_000_000_000
_BLOCK = 1 << 23  # elements drawn once and written again and again: neither reading nor noise can tell

Shapes = dict[str, tuple[int, ...]]


def checkpoint_folder(folder: Path, *, layers: int, width: int) -> int:
    """A Llama in bfloat16 in shards of 2 GB with their index and config; returns the bytes of its tensors.

    With 38 layers of width 3072 it has 8.0 GB.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32_000 * width // 3072,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in LlamaForCausalLM(config).named_parameters()}
    places = {}
    for number, shard in enumerate(_shards(shapes), 1):
        name = f"model-{number:05}.safetensors"
        _write(folder / name, shard)
        places |= dict.fromkeys(shard, name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(map(_size, shapes.values()))


def one_tensor(path: Path, size: int) -> int:
    """A file with a single bfloat16 tensor of about a size; returns its bytes."""
    shape = (1024, size // 2048)
    _write(path, {"weight": shape})
    return _size(shape)


def _size(shape: tuple[int, ...]) -> int:
    return 2 * math.prod(shape)


def _shards(shapes: Shapes) -> list[Shapes]:
    shards: list[Shapes] = [{}]
    for name, shape in shapes.items():
        if shards[-1] and sum(map(_size, shards[-1].values())) + _size(shape) > _SHARD:
            shards.append({})
        shards[-1][name] = shape
    return shards


def _write(path: Path, shapes: Shapes) -> None:
    rows, end = {}, 0
    for name, shape in shapes.items():
        rows[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + _size(shape)]}
        end += _size(shape)
    header = json.dumps(rows).encode()
    draws = torch.randn(min(_BLOCK, end), generator=torch.Generator().manual_seed(0)) * 0.02
    block = draws.bfloat16().view(torch.uint8).numpy().data
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for at in range(0, end, len(block)):
            file.write(block[: end - at])
