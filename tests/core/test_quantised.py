"""Formats of quantised checkpoints as they are published, and modules that only look like them."""

from __future__ import annotations

import pytest

from dither.core.quantised import quantised_parts

LAYER = "model.layers.0.mlp.down_proj"

# Format -> whole numbers, parts of them, and what gets noise all the same; below one layer.
FORMATS = {
    "bitsandbytes int8": ("weight", "SCB", "bias"),
    "bitsandbytes nf4": (
        "weight weight.absmax",
        "weight.quant_map weight.nested_absmax weight.nested_quant_map",
        "bias",
    ),
    "GPTQ": ("qweight qzeros g_idx", "scales", "bias"),
    "AQLM": ("codes", "codebooks scales", "bias"),
    "QuIP#": ("Qidxs", "SU SV Wscale", "bias"),
    "EXL2": ("q_weight q_scale q_groups q_invperm", "q_scale_max", "bias"),
    "EXL3": ("trellis", "suh svh", "bias"),
    "VPTQ": ("indices", "centroids.weight res_centroids.weight weight_scale weight_bias", "bias"),
    "HIGGS": ("weight", "scales tables tables2", "bias"),
    "SqueezeLLM": ("qweight rows cols", "lookup_table vals", "bias"),
    "HQQ": ("W_q shape", "scale zero", "bias"),
    "quanto": ("weight._data", "weight._scale input_scale output_scale", "bias"),
    "FP8": ("weight", "weight_scale_inv input_scale", "bias"),
    "MXFP4 experts": ("gate_up_proj_blocks", "gate_up_proj_zz", "gate_up_proj_bias"),
    "of tomorrow": ("payload", "something.scale what_nobody_knows", "bias lora_A.weight"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_quantised_weight_is_made_of_is_known(kind: str) -> None:
    codes, parts, others = ([f"{LAYER}.{leaf}" for leaf in row.split()] for row in FORMATS[kind])
    rest = [*others, "model.norm.weight", "model.norm.scale", "lm_head.weight"]
    assert quantised_parts([*parts, *rest], codes) == set(parts)


def test_scales_of_activations_count_wherever_they_stand() -> None:
    floats = ["model.layers.0.mlp.act.scales", "model.layers.0.self_attn.k_scale", "visual.logit_scale"]
    assert quantised_parts(floats, [f"{LAYER}.qweight"]) == set(floats[:2])
    assert quantised_parts(floats, []) == set()


@pytest.mark.parametrize(
    ("float_name", "integer_name"),
    [
        ("embeddings.class_embedding", "embeddings.position_ids"),
        ("embeddings.scale", "embeddings.token_type_ids"),
        ("attn.relative_position_bias_table", "attn.relative_position_index"),
        ("attn.attention_biases", "attn.attention_bias_idxs"),
        ("sampler.table", "sampler.row_indices"),
        ("bn.running_mean", "bn.num_batches_tracked"),
        ("h.0.attn.c_attn.weight", "h.0.attn.bias"),
        ("h.0.attn.lookup_table", "h.0.attn.causal_mask"),
        ("w", "codes"),
    ],
)
def test_positions_counters_and_masks_quantise_nothing(float_name: str, integer_name: str) -> None:
    assert quantised_parts([float_name], [integer_name]) == set()
