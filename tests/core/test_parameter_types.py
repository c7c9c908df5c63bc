"""What parameters of real models of transformers are for, by their names."""

from __future__ import annotations

import pytest
from tiny_models import tiny

from dither.core.names import named_parameters
from dither.core.parameter_types import OTHER, TYPES, layer_of, parameter_type, parameter_types

LAYER = {"attention query", "attention key", "attention value", "attention output"}
LAYER |= {"feed-forward in", "feed-forward out", "norm gains", "word embeddings", "head"}
WITH_BIASES = LAYER | {"biases", "other embeddings"}
FUSED = {"attention query+key+value"} | WITH_BIASES - {
    f"attention {part}" for part in ("query", "key", "value")
}
MODELS = {
    "BertForSequenceClassification": WITH_BIASES | {"pooler"},
    "RobertaForSequenceClassification": WITH_BIASES,
    "DistilBertForSequenceClassification": WITH_BIASES,
    "GPT2ForSequenceClassification": FUSED,
    "LlamaForSequenceClassification": LAYER,
    "T5ForSequenceClassification": LAYER | {"other embeddings"},  # its table of relative positions
    "BertModel": (WITH_BIASES | {"pooler"}) - {"head"},
}


def types_of(kind: str) -> dict[str, str]:
    return parameter_types(row.name for row in named_parameters(tiny(kind)) if row.tied_to is None)


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_of_a_known_architecture_has_a_type(kind: str) -> None:
    types = types_of(kind)
    assert set(types.values()) == MODELS[kind], types


EXPECTED = {
    "BertForSequenceClassification": {
        "embeddings.word_embeddings.weight": "word embeddings",
        "embeddings.position_embeddings.weight": "other embeddings",
        "embeddings.token_type_embeddings.weight": "other embeddings",
        "embeddings.LayerNorm.weight": "norm gains",
        "embeddings.LayerNorm.bias": "biases",
        "encoder.layer.1.attention.self.query.weight": "attention query",
        "encoder.layer.1.attention.self.key.bias": "biases",
        "encoder.layer.1.attention.output.dense.weight": "attention output",
        "encoder.layer.1.attention.output.LayerNorm.weight": "norm gains",
        "encoder.layer.0.intermediate.dense.weight": "feed-forward in",
        "encoder.layer.0.output.dense.weight": "feed-forward out",
        "pooler.dense.bias": "pooler",
        "head:classifier.bias": "head",
    },
    "DistilBertForSequenceClassification": {
        "transformer.layer.0.attention.q_lin.weight": "attention query",
        "transformer.layer.0.attention.out_lin.weight": "attention output",
        "transformer.layer.0.ffn.lin1.weight": "feed-forward in",
        "transformer.layer.0.ffn.lin2.weight": "feed-forward out",
        "transformer.layer.0.sa_layer_norm.weight": "norm gains",
        "head:pre_classifier.weight": "head",
    },
    "GPT2ForSequenceClassification": {
        "wte.weight": "word embeddings",
        "wpe.weight": "other embeddings",
        "h.0.ln_1.weight": "norm gains",
        "h.0.attn.c_proj.weight": "attention output",
        "h.0.mlp.c_fc.weight": "feed-forward in",
        "h.0.mlp.c_proj.weight": "feed-forward out",
        "ln_f.weight": "norm gains",
    },
    "LlamaForSequenceClassification": {
        "embed_tokens.weight": "word embeddings",
        "layers.1.self_attn.v_proj.weight": "attention value",
        "layers.1.self_attn.o_proj.weight": "attention output",
        "layers.1.mlp.gate_proj.weight": "feed-forward in",
        "layers.1.mlp.up_proj.weight": "feed-forward in",
        "layers.1.mlp.down_proj.weight": "feed-forward out",
        "layers.1.post_attention_layernorm.weight": "norm gains",
        "norm.weight": "norm gains",
    },
    "T5ForSequenceClassification": {
        "shared.weight": "word embeddings",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": "other embeddings",
        "encoder.block.0.layer.0.SelfAttention.k.weight": "attention key",
        "decoder.block.0.layer.1.EncDecAttention.o.weight": "attention output",
        "decoder.block.0.layer.2.DenseReluDense.wo.weight": "feed-forward out",
        "decoder.final_layer_norm.weight": "norm gains",
    },
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_types_of_real_names(kind: str) -> None:
    types = types_of(kind)
    assert {name: types[name] for name in EXPECTED[kind]} == EXPECTED[kind]


ELSEWHERE = {
    "encoder.layer.0.attention.self.query.lora_A.weight": "attention query",  # PEFT
    "encoder.layers.2.self_attn.out_proj.weight": "attention output",  # BART
    "encoder.layers.2.fc1.weight": "feed-forward in",
    "layers.2.attn.Wqkv.weight": "attention query+key+value",  # ModernBERT
    "layers.2.attn.Wo.weight": "attention output",
    "layers.2.mlp.Wo.weight": "feed-forward out",
    "encoder.layer.2.attention.attn.q.weight": "attention query",  # MPNet
    "encoder.layer.2.attention.self.query_proj.weight": "attention query",  # DeBERTa
    "encoder.rel_embeddings.weight": "other embeddings",
    "h.2.self_attention.query_key_value.weight": "attention query+key+value",  # BLOOM
    "h.2.mlp.dense_4h_to_h.weight": "feed-forward out",
    "layers.2.self_attn.q_norm.weight": "norm gains",  # Qwen3
    "bert.embeddings.LayerNorm.gamma": "norm gains",  # old files
    "convolution.weight": OTHER,
    "value.weight": OTHER,  # of no attention
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_types_of_other_names(name: str) -> None:
    assert parameter_type(name) == ELSEWHERE[name]


def test_an_unknown_model_goes_by_its_modules() -> None:
    names = [
        "stem.conv.weight",
        "blocks.0.conv.weight",
        "blocks.0.mixer.weight",
        "blocks.0.mixer.bias",
        "scale",
    ]
    assert list(parameter_types(names).values()) == ["conv", "conv", "mixer", "biases", "scale"]


def test_in_a_known_model_what_fits_nothing_is_other() -> None:
    names = ["wte.weight", "h.0.attn.c_attn.weight", "h.0.router.weight"]
    assert list(parameter_types(names).values())[-1] == OTHER


def test_the_order_of_tables_has_every_type_once() -> None:
    assert len(set(TYPES)) == len(TYPES)
    assert TYPES[0] == "word embeddings"
    assert TYPES[-5:] == ("norm gains", "biases", "pooler", "head", OTHER)


@pytest.mark.parametrize("kind", MODELS)
def test_the_layers_of_real_models(kind: str) -> None:
    types = types_of(kind)
    inside = {name for name in types if layer_of(name) is not None}
    assert {layer_of(name) for name in inside} == set(range(tiny(kind).config.num_hidden_layers))
    assert not {types[name] for name in inside} & {"word embeddings", "pooler", "head"}
    matrices = {name for name, found in types.items() if found.startswith(("attention", "feed-forward"))}
    assert matrices <= inside


LAYERS = {
    "layers.3.mlp.experts.5.down_proj.weight": 3,
    "h.11.attn.c_attn.weight": 11,
    "decoder.block.2.layer.1.EncDecAttention.o.weight": 2,
    "norm.weight": None,
    "ln_f.bias": None,
    "head:classifier.0.weight": None,
    "pooler.1.dense.weight": None,
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_of_other_names(name: str) -> None:
    assert layer_of(name) == LAYERS[name]
