"""Canonical names of real models of transformers and PEFT."""

from __future__ import annotations

import pytest
from tiny_models import tiny
from torch import nn

from dither.core.names import named_parameters, unwrapped

# peft reads an attribute that transformers is about to drop
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def names(model: nn.Module) -> dict[str, str | None]:
    return {row.name: row.tied_to for row in named_parameters(model)}


def test_bert_for_masked_lm() -> None:
    found = names(tiny("BertForMaskedLM"))
    assert found["embeddings.word_embeddings.weight"] is None
    assert found["encoder.layer.1.attention.self.query.weight"] is None
    assert found["head:cls.predictions.transform.dense.weight"] is None
    assert found["head:cls.predictions.decoder.weight"] == "embeddings.word_embeddings.weight"
    assert found["head:cls.predictions.decoder.bias"] == "head:cls.predictions.bias"
    assert not any(name.startswith("bert.") for name in found)


def test_gpt2_lm_head() -> None:
    found = names(tiny("GPT2LMHeadModel"))
    assert found["h.0.attn.c_attn.weight"] is None
    assert found["head:lm_head.weight"] == "wte.weight"


@pytest.mark.parametrize("tied", [True, False])
def test_llama_for_causal_lm(tied: bool) -> None:
    found = names(tiny("LlamaForCausalLM", tie_word_embeddings=tied))
    assert found["layers.0.self_attn.q_proj.weight"] is None
    assert found["head:lm_head.weight"] == ("embed_tokens.weight" if tied else None)


@pytest.mark.parametrize(
    ("bare", "headed"),
    [
        ("BertModel", "BertForMaskedLM"),
        ("BertModel", "BertForSequenceClassification"),
        ("GPT2Model", "GPT2LMHeadModel"),
        ("LlamaModel", "LlamaForCausalLM"),
    ],
)
def test_the_backbone_alone_and_under_a_head_share_names(bare: str, headed: str) -> None:
    alone, under = names(tiny(bare)), names(tiny(headed))
    inside = {name for name in under if not name.startswith("head:")}
    pooler = {"pooler.dense.weight", "pooler.dense.bias"}  # BertForMaskedLM is built without it
    assert inside == set(alone) - (pooler - inside)


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "LlamaForCausalLM", "GPT2LMHeadModel"])
def test_a_lora_model_keeps_its_base_names(kind: str) -> None:
    import peft

    plain = names(tiny(kind))
    target = {"B": "query", "L": "q_proj", "G": "c_attn"}[kind[0]]
    fan = kind.startswith("GPT2")
    config = peft.LoraConfig(r=2, target_modules=[target], fan_in_fan_out=fan)
    model = peft.get_peft_model(tiny(kind), config)
    found = names(model)
    adapters = {name for name in found if "lora_" in name}
    assert set(found) - adapters == set(plain)
    assert len(adapters) == 4
    assert all(f"{target}.lora_" in name and name.endswith(".weight") for name in adapters)
    assert type(unwrapped(model)).__name__ == kind


def test_adapters_put_in_by_transformers_have_the_names_of_peft() -> None:
    import peft

    inside = tiny("BertForSequenceClassification")
    inside.add_adapter(peft.LoraConfig(r=2, target_modules=["query"]))
    config = peft.LoraConfig(r=2, target_modules=["query"])
    around = peft.get_peft_model(tiny("BertForSequenceClassification"), config)
    assert set(names(inside)) == set(names(around))


def test_a_saved_head_of_peft_has_two_names() -> None:
    import peft

    config = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
    found = names(peft.get_peft_model(tiny("BertForSequenceClassification"), config))
    assert "head:classifier.modules_to_save.weight" in found
    assert "head:classifier.original_module.weight" in found


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "LlamaForCausalLM"])
def test_prompt_tuning_keeps_the_names_of_the_base(kind: str) -> None:
    import peft

    task = "SEQ_CLS" if kind.startswith("Bert") else "CAUSAL_LM"
    config = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=2)
    model = peft.get_peft_model(tiny(kind), config)
    plain, found = names(tiny(kind)), names(model)
    assert {name for name in plain if not name.startswith("head:")} <= set(found)
    assert "head:prompt_encoder.embedding.weight" in found
    assert not any("base_model" in name for name in found)
    assert type(unwrapped(model)).__name__ == kind
