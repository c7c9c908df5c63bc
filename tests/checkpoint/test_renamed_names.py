"""Names that loading changes one to one: the bytes are those of the model as transformers really loads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_files import load, normal, save

import dither
from dither.checkpoint import perturb_checkpoint, plan_checkpoint, verify_checkpoint

NOISE = dither.NoisyTune(seed=6)


def old_layer_norms(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def stored_as(folder: Path, rename: Callable[[str], str]) -> dict[str, str]:
    """Save other values under other names; returns the model's name of each."""
    names = {rename(name): name for name in load(folder)}
    tensors = {
        new: normal(tuple(load(folder)[name].shape), at) for at, (new, name) in enumerate(names.items())
    }
    save(folder / "model.safetensors", tensors)
    return names


def noised_in_memory(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the model that transformers loads, with noise."""
    import transformers

    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model: Any = getattr(transformers, kind).from_pretrained(folder, dtype="auto")
    dither.apply_(model, NOISE)
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("kind", "rename"),
    [
        ("GPT2LMHeadModel", lambda name: name.removeprefix("transformer.")),
        ("GPT2Model", lambda name: f"transformer.{name}"),
        ("BertForSequenceClassification", old_layer_norms),
        ("BertForSequenceClassification", lambda name: old_layer_norms(name.removeprefix("bert."))),
        ("BertModel", lambda name: f"bert.{name}"),
    ],
)
def test_the_bytes_are_those_of_the_loaded_model(
    kind: str, rename: Callable[[str], str], saved: Any, tmp_path: Path
) -> None:
    source, target = saved(kind), tmp_path / "noisy"
    names = stored_as(source, rename)
    state = noised_in_memory(source)
    perturb_checkpoint(source, target, NOISE)
    before, after = load(source), load(target)
    assert set(before) == set(after) == set(names) != set(names.values())
    assert all(torch.equal(after[new], state[name]) for new, name in names.items())
    assert not any(torch.equal(after[new], before[new]) for new in names)
    assert verify_checkpoint(source, target).ok


def test_what_the_model_does_not_load_is_left_alone(saved: Any, tmp_path: Path, caplog: Any) -> None:
    source, target = saved("BertForPreTraining"), tmp_path / "noisy"
    stored_as(source, old_layer_norms)
    config = source / "config.json"
    config.write_text(config.read_text().replace("BertForPreTraining", "BertForMaskedLM"))
    state = noised_in_memory(source)
    record = perturb_checkpoint(source, target, NOISE).record
    before, after = load(source), load(target)
    left = {row.path for row in record.tensors if row.reason == "not in BertForMaskedLM"}
    assert left == {
        f"{layer}.{kind}"
        for layer in ("bert.pooler.dense", "cls.seq_relationship")
        for kind in ("weight", "bias")
    }
    assert all(torch.equal(before[name], after[name]) for name in left)
    new = {name.replace("gamma", "weight").replace("beta", "bias"): value for name, value in after.items()}
    assert all(torch.equal(value, state[name]) for name, value in new.items() if name not in left)


def test_two_tensors_for_one_parameter_are_refused(saved: Any) -> None:
    source = saved("BertModel")
    tensors = load(source)
    tensors["embeddings.LayerNorm.gamma"] = tensors["embeddings.LayerNorm.weight"] * 2
    save(source / "model.safetensors", tensors)
    with pytest.raises(ValueError, match=r"is not stored as BertModel has it: 1 tensors .*LayerNorm\.gamma'"):
        plan_checkpoint(source, NOISE)


def test_a_rename_that_transformers_does_otherwise_is_refused(saved: Any, monkeypatch: Any) -> None:
    from transformers import core_model_loading

    source = saved("GPT2LMHeadModel")
    stored_as(source, lambda name: name.removeprefix("transformer."))
    monkeypatch.setattr(core_model_loading, "rename_source_key", lambda name, *_: (f"other.{name}", None))
    with pytest.raises(ValueError, match="is not stored as GPT2LMHeadModel has it"):
        plan_checkpoint(source, NOISE)
