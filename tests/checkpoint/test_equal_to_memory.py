"""What comes out has the bytes that the same method gives on the loaded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_files import load, normal, same, save
from tiny_models import tiny

import dither
from dither.builtin import MODEL_DIR
from dither.checkpoint import perturb_checkpoint, verify_checkpoint


def loaded(folder: Path) -> Any:
    """The model in the class that saved it, in the dtype of the file."""
    import transformers

    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    return getattr(transformers, kind).from_pretrained(folder, dtype="auto")


def check(source: Path, target: Path, method: dither.NoisyTune, **options: Any) -> dither.Record:
    """Noise it in memory and out of core, and compare weights, Record and mark."""
    model = loaded(source)
    expected = dither.apply_(model, method)
    outcome = perturb_checkpoint(source, target, method, **options)
    found, state = load(target), model.state_dict()
    assert same(found, {name: state[name] for name in found})
    assert not same(found, load(source))
    rows = zip(outcome.record.tensors, expected.tensors, strict=True)
    for one, other in rows:
        assert (one.name, one.path, one.reason, one.std) == (other.name, other.path, other.reason, other.std)
        assert (one.effective or 0.0) == pytest.approx(other.effective or 0.0, rel=1e-5)
    assert loaded(target).config.dither == model.config.dither
    return outcome.record


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scope": "backbone", "exclude": "*.bias", "token_embeddings": False},
        {"across": "model", "zeros": "noise"},
        {"noise_lambda": {"embeddings.*": 0.0, "encoder.layer.0.*": 0.1, "head:*": 0.3}},
    ],
)
def test_the_built_in_encoder(settings: dict[str, Any], tmp_path: Path) -> None:
    check(MODEL_DIR, tmp_path / "noisy", dither.NoisyTune(seed=7, **settings), block=4096)


@pytest.mark.data
def test_a_real_llama_with_tied_embeddings(stories_dir: Path, tmp_path: Path) -> None:
    record = check(stories_dir, tmp_path / "noisy", dither.NoisyTune(noise_lambda=0.2, seed=1))
    assert record.skipped() == {"tied": 1}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_other_dtypes_in_shards(dtype: torch.dtype, rounding: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    loaded(MODEL_DIR).to(dtype).save_pretrained(source, max_shard_size="400KB")
    assert len(list(source.glob("*.safetensors"))) > 1
    check(source, tmp_path / "noisy", dither.NoisyTune(seed=2, rounding=rounding), block=12_288)
    assert (tmp_path / "noisy/model.safetensors.index.json").is_file()
    assert verify_checkpoint(source, tmp_path / "noisy").ok


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "GPT2LMHeadModel", "LlamaForCausalLM"])
def test_other_architectures(kind: str, saved: Any, tmp_path: Path) -> None:
    check(saved(kind), tmp_path / "noisy", dither.NoisyTune(seed=3))


@pytest.mark.parametrize("equal", [True, False])
def test_tied_weights_that_are_both_stored(equal: bool, saved: Any, tmp_path: Path, caplog: Any) -> None:
    source = saved("LlamaForCausalLM", tie_word_embeddings=True)
    tensors = load(source)
    table = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = table.clone() if equal else normal(tuple(table.shape), seed=9)
    save(source / "model.safetensors", tensors)
    check(source, tmp_path / "noisy", dither.NoisyTune(seed=4))
    found = load(tmp_path / "noisy")
    assert torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"]) is equal


@pytest.mark.parametrize("block", [4096, 8192, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_larger_than_the_block(block: int, dtype: torch.dtype, tmp_path: Path) -> None:
    weight = normal((257, 129), dtype=dtype)
    save(tmp_path / "one.safetensors", {"weight": weight})
    net = torch.nn.Linear(129, 257, bias=False, dtype=dtype)
    net.load_state_dict({"weight": weight})
    dither.noisytune_(net, seed=5)
    target = tmp_path / "two.safetensors"
    perturb_checkpoint(
        tmp_path / "one.safetensors", target, dither.NoisyTune(seed=5), names="file", block=block
    )
    assert torch.equal(load(target)["weight"], net.weight)


@pytest.mark.usefixtures("unmoved_random_state")
def test_no_global_generator_moves(tmp_path: Path) -> None:
    perturb_checkpoint(MODEL_DIR, tmp_path / "noisy", dither.NoisyTune(law="gaussian", rounding="stochastic"))


def test_the_reference_backend_gives_the_same_bytes(tmp_path: Path, monkeypatch: Any) -> None:
    perturb_checkpoint(MODEL_DIR, tmp_path / "fast", dither.NoisyTune(seed=1))
    monkeypatch.setenv("DITHER_BACKEND", "reference")
    perturb_checkpoint(MODEL_DIR, tmp_path / "slow", dither.NoisyTune(seed=1), block=4096)
    assert same(load(tmp_path / "fast"), load(tmp_path / "slow"))


def test_one_element_constant_and_frozen(tmp_path: Path) -> None:
    tensors = {
        "one": torch.ones(1),
        "same": torch.full((4, 4), 0.3),
        "none": torch.empty(0, 3),
        "noisy": normal((4, 4)),
    }
    source = save(tmp_path / "a.safetensors", tensors)
    outcome = perturb_checkpoint(source, tmp_path / "b.safetensors", dither.NoisyTune(), names="file")
    found = {row.name: row.reason for row in outcome.record.tensors}
    assert found == {"one": "one element", "same": "constant", "none": "empty", "noisy": None}
    after = load(tmp_path / "b.safetensors")
    assert [name for name in tensors if not torch.equal(after[name], tensors[name])] == ["noisy"]


def test_constant_tensors_are_not_in_the_scale_of_the_whole_model(tmp_path: Path) -> None:
    net, method = torch.nn.Linear(20, 30), dither.NoisyTune(across="model")
    torch.nn.init.constant_(net.bias, 3.0)
    source = save(tmp_path / "a.safetensors", dict(net.state_dict()))
    perturb_checkpoint(source, tmp_path / "b.safetensors", method, names="file")
    dither.apply_(net, method)
    assert same(load(tmp_path / "b.safetensors"), dict(net.state_dict()))


def test_noise_on_top_of_noise(saved: Any, tmp_path: Path) -> None:
    source, once = saved("BertModel"), tmp_path / "once"
    method = dither.NoisyTune(seed=3)
    perturb_checkpoint(source, once, method)
    model = tiny("BertModel")
    dither.apply_(model, method)
    dither.apply_(model, method, again=True)
    perturb_checkpoint(once, tmp_path / "twice", method, again=True)
    assert same(load(tmp_path / "twice"), dict(model.state_dict()))
    assert len(loaded(tmp_path / "twice").config.dither) == 2
    assert verify_checkpoint(once, tmp_path / "twice").ok
    with pytest.raises(ValueError, match=r"was noised 0 times before, and .*twice was made from .* 1 times"):
        verify_checkpoint(source, tmp_path / "twice")
