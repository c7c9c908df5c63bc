"""Types of models whose stored tensors differ from what loading makes of them, and some that do not.

All types of transformers: python -m benchmarks.model_types
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.model_types import Row, outcome, table
from benchmarks.small_models import small_model
from stored_files import load

import dither
from dither.checkpoint import perturb_checkpoint, verify_checkpoint

TYPES = {
    "vit": "renamed",
    "mixtral": "merged experts",
    "qwen3_vl_moe": "transposed experts",
    "inkling_mm_model": "interleaved, split and merged",
    "mistral_large4": "permuted for rotary positions",
    "gte": "split projections",
    "molmo2": "joined and unevenly split",
    "wav2vec2": "built with parameters off the meta device",
    "whisper": "frozen in the class, trainable after loading",
    "hrm_text": "frozen after loading",
    "clip": "two towers",
    "t5": "tied embeddings",
    "albert": "shared layers",
    "llava": "models inside a model",
    "zamba2": "drawn anew in part while it is loaded",
}


@pytest.mark.parametrize("name", TYPES)
def test_the_bytes_are_those_of_the_loaded_model(name: str) -> None:
    assert outcome(name, head=False, dtype="float32") == Row(name, "equal")


def test_merged_experts_in_shards_small_blocks_and_stochastic_rounding(tmp_path: Path) -> None:
    model = small_model("mixtral").to(torch.bfloat16)
    model.save_pretrained(tmp_path / "source", max_shard_size="100KB")
    method = dither.NoisyTune(seed=3, law="gaussian", rounding="stochastic")
    record = perturb_checkpoint(tmp_path / "source", tmp_path / "noisy", method, block=4096).record
    noisy = type(model).from_pretrained(tmp_path / "noisy").state_dict()
    expected = dither.apply_(model, method)
    assert all(torch.equal(value, noisy[name]) for name, value in model.state_dict().items())
    assert [row.std for row in record.tensors] == [row.std for row in expected.tensors]
    assert verify_checkpoint(tmp_path / "source", tmp_path / "noisy", block=8192).ok
    assert set(load(tmp_path / "source")) > {"layers.0.block_sparse_moe.experts.0.w1.weight"}


def test_the_table_counts_every_outcome() -> None:
    rows = [Row("a", "equal"), Row("b", "equal"), Row("c", "crash"), Row("d", "not built")]
    text = table(rows)
    assert "| equal | 2 |" in text
    assert "| crash | 1 |" in text
    assert "3 of 4 types" in text
