"""Parameter shapes of real models, without their weights."""


def bert(width: int, layers: int, vocabulary: int = 30_522) -> list[tuple[int, ...]]:
    """Shapes of a BERT-type encoder, in the order of its parameters."""
    shapes: list[tuple[int, ...]] = [(vocabulary, width), (512, width), (2, width), (width,), (width,)]
    for _ in range(layers):
        shapes += [(width, width), (width,)] * 4 + [(width,)] * 2
        shapes += [(4 * width, width), (4 * width,), (width, 4 * width), (width,), (width,), (width,)]
    return [*shapes, (width, width), (width,)]


MINILM = bert(width=384, layers=6)
"""all-MiniLM-L6-v2: 22.7 million parameters."""

BERT_BASE = bert(width=768, layers=12)
"""BERT-base: 109 million parameters."""

LORA = [(8, 768), (768, 8)] * 250
"""A LoRA of rank 8: 500 small tensors."""
