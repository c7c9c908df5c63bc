"""Which parameters a method noises, on real models, and what it refuses to touch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import tiny
from torch import nn

import dither
from dither.methods.targets import targets


def reasons(model: nn.Module, method: Any) -> dict[str, str | None]:
    return {row.named.name: row.reason for row in targets(model, method)}


def test_the_backbone_alone() -> None:
    found = reasons(tiny("BertForSequenceClassification"), dither.NoisyTune(scope="backbone"))
    outside = {name for name, reason in found.items() if reason == "outside the backbone"}
    assert outside == {"head:classifier.weight", "head:classifier.bias"}
    assert not [name for name, reason in found.items() if reason and name not in outside]


def test_a_backbone_without_a_head_is_all_backbone() -> None:
    assert set(reasons(tiny("BertModel"), dither.NoisyTune(scope="backbone")).values()) == {None}


def test_a_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scope='backbone' needs a model with base_model_prefix.*Linear"):
        targets(nn.Linear(2, 2), dither.NoisyTune(scope="backbone"))


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "GPT2LMHeadModel", "LlamaForCausalLM"])
def test_token_embeddings_are_left_alone(kind: str) -> None:
    found = reasons(tiny(kind), dither.NoisyTune(token_embeddings=False))
    left = [name for name, reason in found.items() if reason == "token embeddings"]
    table = {"B": "embeddings.word_embeddings.weight", "G": "wte.weight", "L": "embed_tokens.weight"}
    assert left == [table[kind[0]]]


def test_token_embeddings_of_an_unknown_model_are_refused() -> None:
    message = r"token_embeddings=False needs a model with get_input_embeddings\(\).*Linear has none"
    with pytest.raises(ValueError, match=message):
        targets(nn.Linear(2, 2), dither.NoisyTune(token_embeddings=False))


def test_vectors_are_out_of_pats_by_default() -> None:
    model = tiny("BertModel")
    found = reasons(model, dither.PATS())
    assert found["encoder.layer.0.output.LayerNorm.weight"] == "vector"
    assert found["encoder.layer.0.output.dense.bias"] == "vector"
    assert found["encoder.layer.0.output.dense.weight"] is None
    assert set(reasons(model, dither.PATS(vectors=True)).values()) == {None}


def test_a_map_of_strengths() -> None:
    method = dither.NoisyTune(noise_lambda={"embeddings.*": 0, "*.bias": 0.1, "encoder.*": 0.2})
    rows = {row.named.name: row for row in targets(tiny("BertModel"), method)}
    assert rows["embeddings.word_embeddings.weight"].reason == "strength 0"
    assert rows["encoder.layer.0.output.dense.bias"].strength == 0.1
    assert rows["encoder.layer.0.output.dense.weight"].strength == 0.2
    assert rows["pooler.dense.weight"].reason == "no pattern of noise_lambda fits"


@pytest.mark.parametrize("option", ["include", "exclude", "noise_lambda"])
def test_a_pattern_that_fits_nothing_is_refused_by_its_option(option: str) -> None:
    value: Any = {"encoder.layers.*": 0.1, "*": 0.2} if option == "noise_lambda" else ["encoder.layers.*"]
    message = rf"{option}='encoder\.layers\.\*' fits none of the 39 tensors; nearest name: 'encoder\.layer\."
    with pytest.raises(ValueError, match=message):
        targets(tiny("BertModel"), dither.NoisyTune(**{option: value}))


def test_a_lora_model_noises_the_adapter_unless_the_frozen_base_is_asked_for() -> None:
    import peft

    config = peft.LoraConfig(r=2, target_modules=["query"])
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        model = peft.get_peft_model(tiny("BertForSequenceClassification"), config)
    noised = [name for name, reason in reasons(model, dither.NoisyTune()).items() if reason is None]
    assert len(noised) == 4
    assert all("lora_" in name for name in noised)
    assert set(reasons(model, dither.NoisyTune(frozen=True)).values()) == {None}


class FlatParameter(nn.Parameter):
    """Named like that of FSDP1."""


def flat() -> nn.Parameter:
    return FlatParameter(torch.ones(3))


def marked(name: str) -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(3))
    setattr(parameter, name, 1)
    return parameter


UNWHOLE = [
    (lambda: nn.Parameter(torch.empty(3, device="meta")), "lies on the meta device; load or materialise"),
    (flat, r"is a flat parameter of FSDP1; noise the model before wrapping it"),
    (lambda: marked("_sharded_size"), r"is a flat parameter of FSDP1"),
    (lambda: marked("ds_id"), r"is partitioned by DeepSpeed ZeRO-3; noise the model before"),
    (lambda: nn.UninitializedParameter(), r"has no values yet; run one batch"),
]


@pytest.mark.parametrize(("make", "message"), UNWHOLE)
@pytest.mark.parametrize("method", [dither.NoisyTune(), dither.PATS()])
def test_a_parameter_that_is_not_whole_is_refused_by_name(make: Any, message: str, method: Any) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Module())
    model[1].piece = make()
    with pytest.raises(ValueError, match=rf"parameter '1\.piece' {message}"):
        targets(model, method)


def bare(kind: str, base: str | None = None) -> nn.Module:
    """A model without weights; its head, if it has one, stands in its backbone or beside the parts of it."""
    import transformers

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight = sizes | {"image_size": 8, "patch_size": 4}
    text = sizes | {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2}
    latents = {"num_latents": 4, "d_latents": 8, "d_model": 8, "num_blocks": 1, "max_position_embeddings": 8}
    heads = {"num_self_attends_per_block": 1, "num_self_attention_heads": 1, "num_cross_attention_heads": 1}
    configs = {
        "CLIP": lambda: transformers.CLIPConfig(text_config=text, vision_config=sight),
        "Siglip": lambda: transformers.SiglipConfig(text_config=text, vision_config=sight),
        "T5": lambda: transformers.T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1),
        "Perceiver": lambda: transformers.PerceiverConfig(**latents, **heads, vocab_size=20),
        "Bert": lambda: transformers.BertConfig(**sizes, vocab_size=20),
    }
    config = configs[next(name for name in configs if (base or kind).startswith(name))]()
    made = getattr(transformers, base or kind)
    with torch.device("meta"):
        return (type(kind, (made,), {"__module__": "mine"}) if base else made)(config)


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("CLIPForImageClassification", "classifier.*"),
        ("SiglipForImageClassification", "classifier.*"),
        ("PerceiverForSequenceClassification", "decoder.*"),
        ("T5ForConditionalGeneration", "decoder.*"),
    ],
)
def test_a_head_that_cannot_be_told_is_refused(kind: str, head: str) -> None:
    """The prefix is no child of the model, or the head stands within it."""
    model = bare(kind)
    message = rf"scope='backbone' cannot tell the head of {kind}: no parameter stands outside of '\w+', its"
    for method in (dither.NoisyTune(scope="backbone"), dither.PATS(scope="backbone")):
        with pytest.raises(ValueError, match=message):
            targets(model, method, stored=True)
    rows = targets(model, dither.NoisyTune(exclude=head), stored=True)  # as the message advises
    assert {row.reason for row in rows} >= {None, "excluded"}


@pytest.mark.parametrize("kind", ["CLIPModel", "PerceiverModel", "T5Model", "T5EncoderModel", "BertModel"])
def test_a_bare_backbone_has_no_head_to_be_told(kind: str) -> None:
    rows = targets(bare(kind), dither.NoisyTune(scope="backbone"), stored=True)
    assert "outside the backbone" not in {row.reason for row in rows}


def test_a_class_of_the_users_own_may_have_any_head() -> None:
    model = bare("Sentiment", base="BertModel")
    with pytest.raises(
        ValueError, match=r"cannot tell the head of Sentiment: .* or leave scope out if it has"
    ):
        targets(model, dither.NoisyTune(scope="backbone"), stored=True)
    assert targets(model, dither.NoisyTune(), stored=True)


def test_a_class_that_torch_derives_is_the_one_it_derives_from() -> None:
    model = bare("BertModel")
    kind = type(model)
    model.__class__ = type(f"FSDP{kind.__name__}", (kind,), {"__module__": "torch.distributed.fsdp"})
    assert targets(model, dither.NoisyTune(scope="backbone"), stored=True)
