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


def test_a_class_that_cannot_finish_is_refused(saved: Any, monkeypatch: Any) -> None:
    from transformers import BertModel

    source = saved("BertModel")
    monkeypatch.setattr(BertModel, "_init_weights", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match=r"what it does after loading fails here \(division by zero\)"):
        plan_checkpoint(source, NOISE)


@pytest.fixture
def experts(tmp_path: Path) -> Path:
    """A Mixtral whose experts are stored one by one."""
    small_model("mixtral").save_pretrained(tmp_path / "experts")
    return tmp_path / "experts"


FIRST = "layers.0.block_sparse_moe.experts.0.w1.weight"


def test_quantised_experts_are_left_alone(experts: Path, tmp_path: Path) -> None:
    tensors = {
        name: _narrow(value) if ".experts." in name else value for name, value in load(experts).items()
    }
    save(experts / "model.safetensors", tensors | {f"{FIRST}_scale_inv": torch.ones(2, 2)})
    record = perturb_checkpoint(experts, tmp_path / "noisy", NOISE).record
    assert record.skipped() == {"integer or quantised": 4, "scale of a quantised tensor": 1}
    assert torch.equal(load(tmp_path / "noisy")[FIRST].view(torch.uint8), tensors[FIRST].view(torch.uint8))


def _narrow(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.float8_e4m3fn)


def test_experts_that_do_not_fit_together_are_refused(experts: Path) -> None:
    tensors = load(experts)
    save(experts / "model.safetensors", tensors | {FIRST: tensors[FIRST].bfloat16()})
    with pytest.raises(ValueError, match=rf"MergeModulelist and Concatenate of '{FIRST}' .*several dtypes"):
        plan_checkpoint(experts, NOISE)
    save(experts / "model.safetensors", {name: value for name, value in tensors.items() if name != FIRST})
    with pytest.raises(ValueError, match="cannot be followed into MixtralModel: MergeModulelist and Conc"):
        plan_checkpoint(experts, NOISE)
    assert plan_checkpoint(experts, NOISE, names="file").noised


def test_a_bad_value_in_an_expert_is_told_with_both_names(experts: Path, tmp_path: Path) -> None:
    tensors = load(experts)
    tensors[FIRST] = torch.full_like(tensors[FIRST], float("nan"))
    save(experts / "model.safetensors", tensors)
    with pytest.raises(
        ValueError, match=rf"'{FIRST}' holds NaN .*exclude='layers\.0\.mlp\.experts\.gate_up_proj'"
    ):
        perturb_checkpoint(experts, tmp_path / "noisy", NOISE)
    method = dither.NoisyTune(seed=1, exclude="layers.0.mlp.experts.gate_up_proj")
    perturb_checkpoint(experts, tmp_path / "noisy", method)
