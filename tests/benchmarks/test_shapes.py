"""The shapes are those of the real models."""

from __future__ import annotations

import pytest
import torch
from benchmarks.noise import fitting_layers
from benchmarks.shaped_model import ShapedModel, filled, normal_tile
from benchmarks.shapes import DECODER, elements, largest, shapes_of


@pytest.mark.parametrize(
    ("model", "count"),
    [("BERT-base", 109_482_240), ("MiniLM", 22_713_216), ("LoRA", 500 * 768 * 8), (DECODER, 1_543_714_304)],
)
def test_the_number_of_parameters(model: str, count: int) -> None:
    assert elements(shapes_of(model)) == count


@pytest.mark.parametrize(("model", "width", "layers"), [("MiniLM", 384, 6), ("BERT-base", 768, 12)])
def test_names_and_shapes_of_encoders(model: str, width: int, layers: int) -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 4 * width}
    with torch.device("meta"):
        real = BertModel(BertConfig(**sizes))
    assert shapes_of(model) == {name: tuple(p.shape) for name, p in real.named_parameters()}


def test_names_and_shapes_of_the_decoder() -> None:
    from transformers import Qwen2Config, Qwen2Model

    sizes = {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 2, "vocab_size": 151_936}
    with torch.device("meta"):
        real = Qwen2Model(Qwen2Config(**sizes, num_attention_heads=12, num_key_value_heads=2))
    assert shapes_of(DECODER, 2) == {name: tuple(p.shape) for name, p in real.named_parameters()}


def test_a_shaped_model_has_the_names_and_a_spread() -> None:
    shapes = shapes_of("small encoder")
    model = ShapedModel(shapes, torch.bfloat16, "cpu")
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == shapes
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    spread = model.get_parameter("embeddings.word_embeddings.weight").float().std().item()
    assert spread == pytest.approx(0.02, rel=0.05)


def test_a_tile_fills_to_the_last_element() -> None:
    tile = normal_tile(torch.float32, "cpu")
    tensor = filled((2, tile.numel() + 7), tile)
    assert torch.equal(tensor.view(-1)[: tile.numel()], tile)
    assert torch.equal(tensor.view(-1)[-14:], tile[:14])


def test_the_decoder_shrinks_with_the_memory() -> None:
    assert fitting_layers("float32", 64e9) == 28
    assert 0 < fitting_layers("float32", 12e9) < fitting_layers("bfloat16", 12e9)
    assert fitting_layers("float32", 3e9) == 0
    assert largest(shapes_of(DECODER, 1)) == 151_936 * 1536
