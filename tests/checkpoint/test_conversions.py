"""Names and tensors that loading changes: the bytes are those of the model as transformers loads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.small_models import small_model
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


def test_two_tensors_for_one_parameter_are_refused_and_the_advice_works(saved: Any, tmp_path: Path) -> None:
    source = saved("BertModel")
    tensors = load(source)
    tensors["embeddings.LayerNorm.gamma"] = tensors["embeddings.LayerNorm.weight"] * 2
    save(source / "model.safetensors", tensors)
    with pytest.raises(ValueError, match=r"LayerNorm\.gamma' and 'embed.*\.weight' both become"):
        plan_checkpoint(source, NOISE)
    saved_again(source, tmp_path / "again")
    plan_checkpoint(tmp_path / "again", NOISE)


def saved_again(source: Path, target: Path) -> None:
    """What the refusals advise: load it once and save it."""
    from transformers import AutoModel

    AutoModel.from_pretrained(source).save_pretrained(target, save_original_format=False)


def with_step(monkeypatch: Any, *steps: Any) -> None:
    from transformers import conversion_mapping

    monkeypatch.setattr(conversion_mapping, "get_model_conversion_mapping", lambda model, **_: list(steps))


def test_a_tensor_that_loading_would_transpose_is_noised_so(
    saved: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    from transformers.core_model_loading import Transpose, WeightConverter

    source, target = saved("BertModel"), tmp_path / "noisy"
    state = noised_in_memory(source)
    tensors = load(source)
    tensors["pooler.dense.weight"] = tensors["pooler.dense.weight"].t().contiguous()
    save(source / "model.safetensors", tensors)
    step = WeightConverter("pooler.dense.weight", "pooler.dense.weight", operations=[Transpose(0, 1)])
    with_step(monkeypatch, step)
    perturb_checkpoint(source, target, NOISE)
    assert torch.equal(load(target)["pooler.dense.weight"].t(), state["pooler.dense.weight"])
    assert verify_checkpoint(source, target).ok


def doubling() -> Any:
    from transformers.core_model_loading import Transpose

    class Doubling(Transpose):
        def convert(self, input_dict: Any, *args: Any, **kwargs: Any) -> Any:
            return {name: rows[0] * 2 for name, rows in input_dict.items()}

    return Doubling()


def test_a_conversion_that_computes_is_refused(saved: Any, monkeypatch: Any) -> None:
    from transformers.core_model_loading import WeightConverter

    source, pooler = saved("BertModel"), "pooler.dense.weight"
    with_step(monkeypatch, WeightConverter(pooler, pooler, operations=[doubling()]))
    with pytest.raises(ValueError, match=rf"Doubling of '{pooler}' and others: it computes with mul\. "):
        plan_checkpoint(source, NOISE)


def test_a_conversion_that_gives_other_shapes_is_refused(saved: Any, monkeypatch: Any) -> None:
    from transformers.core_model_loading import Transpose, WeightConverter

    source, layer = saved("BertModel"), "encoder.layer.0.output.dense.weight"
    with_step(monkeypatch, WeightConverter(layer, layer, operations=[Transpose(0, 1)]))
    with pytest.raises(ValueError, match=r"has shape \[8, 12\] in the model and comes out as \[12, 8\]"):
        plan_checkpoint(source, NOISE)


def test_a_mapping_of_another_kind_is_refused(saved: Any, monkeypatch: Any) -> None:
    from transformers import core_model_loading

    source = saved("BertModel")
    with_step(monkeypatch, object())
    with pytest.raises(ValueError, match="a conversion mapping that this version of dither does not know"):
        plan_checkpoint(source, NOISE)
    monkeypatch.undo()
    monkeypatch.delattr(core_model_loading, "rename_source_key")
    with pytest.raises(ValueError, match=r"does not know .*rename_source_key.* --names file"):
        plan_checkpoint(source, NOISE)
    assert plan_checkpoint(source, NOISE, names="file").noised


def test_a_row_that_loading_sets_is_told(tmp_path: Path, caplog: Any) -> None:
    small_model("chinese_clip").save_pretrained(tmp_path)
    plan_checkpoint(tmp_path, NOISE)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "sets parts of text_model.embeddings.word_embeddings.weight" in said


def test_the_advice_for_a_head_that_is_not_stored_works(saved: Any, tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    source = saved("BertModel")
    config = source / "config.json"
    config.write_text(config.read_text().replace('"BertModel"', '"BertForSequenceClassification"'))
    with pytest.raises(
        ValueError,
        match=r"(?s)2 of its .* \(first: 'classifier.*Name the class that saved.*, load it once and",
    ):
        plan_checkpoint(source, NOISE)
    BertForSequenceClassification.from_pretrained(source).save_pretrained(tmp_path / "again")
    assert "head:classifier.weight" in {
        row.named.name for row in plan_checkpoint(tmp_path / "again", NOISE).noised
    }
    config.write_text(config.read_text().replace('"BertForSequenceClassification"', '"BertModel"'))
    assert len(plan_checkpoint(source, NOISE).noised) == 39
