"""Parameter shapes of real models by name, without their weights."""

from collections.abc import Callable
from functools import partial
from math import prod

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

DECODER_LAYERS = 28


def bert(width: int, layers: int, vocabulary: int = 30_522) -> Shapes:
    """A BERT-type encoder, in the order of its parameters."""
    inner = 4 * width
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (vocabulary, width),
        "embeddings.position_embeddings.weight": (512, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        **_norm("embeddings.LayerNorm", width),
    }
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value"):
            shapes |= _linear(f"{at}.{part}", width, width)
        shapes |= _linear(f"{at}.attention.output.dense", width, width)
        shapes |= _norm(f"{at}.attention.output.LayerNorm", width)
        shapes |= _linear(f"{at}.intermediate.dense", inner, width)
        shapes |= _linear(f"{at}.output.dense", width, inner)
        shapes |= _norm(f"{at}.output.LayerNorm", width)
    return shapes | _linear("pooler.dense", width, width)


def decoder(layers: int = DECODER_LAYERS) -> Shapes:
    """A decoder with the sizes of Qwen2.5-1.5B (tied embeddings, grouped keys and values)."""
    width, inner, keys = 1536, 8960, 256
    shapes: Shapes = {"embed_tokens.weight": (151_936, width)}
    for layer in range(layers):
        at = f"layers.{layer}"
        shapes |= _linear(f"{at}.self_attn.q_proj", width, width)
        shapes |= _linear(f"{at}.self_attn.k_proj", keys, width)
        shapes |= _linear(f"{at}.self_attn.v_proj", keys, width)
        shapes[f"{at}.self_attn.o_proj.weight"] = (width, width)
        shapes[f"{at}.mlp.gate_proj.weight"] = (inner, width)
        shapes[f"{at}.mlp.up_proj.weight"] = (inner, width)
        shapes[f"{at}.mlp.down_proj.weight"] = (width, inner)
        shapes[f"{at}.input_layernorm.weight"] = (width,)
        shapes[f"{at}.post_attention_layernorm.weight"] = (width,)
    return shapes | {"norm.weight": (width,)}


def lora(pairs: int, width: int = 768, rank: int = 8) -> Shapes:
    """The small matrices of a LoRA, two for each adapted layer."""
    shapes: Shapes = {}
    for pair in range(pairs):
        shapes[f"layers.{pair}.lora_A.weight"] = (rank, width)
        shapes[f"layers.{pair}.lora_B.weight"] = (width, rank)
    return shapes


MODELS: dict[str, Callable[[], Shapes]] = {
    "MiniLM": partial(bert, 384, 6),
    "BERT-base": partial(bert, 768, 12),
    "LoRA": partial(lora, 250),
    "small encoder": partial(bert, 64, 2, 1000),
    "small LoRA": partial(lora, 10),
}
"""all-MiniLM-L6-v2 (22.7 million), BERT-base (109 million), a LoRA of 500 tensors; small ones for --quick."""

DECODER = "Qwen2.5-1.5B"


def shapes_of(model: str, layers: int | None = None) -> Shapes:
    """The shapes of a model by its name; `layers` counts for the decoder alone."""
    return decoder(layers or DECODER_LAYERS) if model == DECODER else MODELS[model]()


def elements(shapes: Shapes) -> int:
    """Number of parameters."""
    return sum(prod(shape) for shape in shapes.values())


def largest(shapes: Shapes) -> int:
    """Number of elements of the largest tensor."""
    return max(prod(shape) for shape in shapes.values())


def _linear(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
