"""Real architectures of transformers at hidden size 8, from configs: no file, no network, no global seed."""

from __future__ import annotations

from typing import Any

import torch


def tiny(kind: str, **changes: Any) -> Any:
    """A model with seeded weights: "BertForMaskedLM", "GPT2LMHeadModel", "LlamaForCausalLM", ..."""
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": 20,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "pad_token_id": 0,
    }
    if kind.startswith("GPT2"):
        sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}
        sizes |= {"bos_token_id": 0, "eos_token_id": 1}
    if kind.startswith("DistilBert"):
        sizes = {"vocab_size": 20, "dim": 8, "hidden_dim": 12, "n_layers": 2, "n_heads": 2, "pad_token_id": 0}
    if kind.startswith("T5"):
        sizes = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2}
        sizes |= {"decoder_start_token_id": 0}
    if kind.startswith("Llama"):
        sizes |= {"num_key_value_heads": 1, "bos_token_id": 1, "eos_token_id": 2}
    kinds = ("Bert", "DistilBert", "GPT2", "Llama", "Roberta", "T5")
    family = next(name for name in kinds if kind.startswith(name))
    config = getattr(transformers, f"{family}Config")(**sizes | changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, kind)(config)
