"""Which tensors are noised, under which names, and which checkpoints are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_files import load, normal, save

import dither
from dither.builtin import MODEL_DIR
from dither.checkpoint import perturb_checkpoint, plan_checkpoint

NOISE = dither.NoisyTune(seed=1)


def edit(folder: Path, **changes: Any) -> None:
    """Change config.json; None takes a key out."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def renamed(folder: Path, old: str, new: str) -> None:
    """Save the weights under other names."""
    tensors = {name.replace(old, new, 1): value for name, value in load(folder).items()}
    save(folder / "model.safetensors", tensors)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "bert.",
            "other.",
            r"39 tensors of the file are none of its parameters \(first: 'other\.\w+.*'\) and 39 of",
        ),
        ("classifier.", "score.", r"\(first: 'score\.\w+'\) .*with --names file"),
    ],
)
def test_names_that_loading_would_change_are_refused(
    old: str, new: str, message: str, saved: Any, tmp_path: Path
) -> None:
    source = saved("BertForSequenceClassification")
    renamed(source, old, new)
    with pytest.raises(
        ValueError, match=rf"(?s)is not stored as BertForSequenceClassification has it: .*{message}"
    ):
        plan_checkpoint(source, NOISE)
    record = perturb_checkpoint(source, tmp_path / "noisy", NOISE, names="file").record
    assert record.message == "noised under the names as they stand in the file"
    assert record.counts()["noised"] > 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": None}, "architectures is None, which names no model class of transformers"),
        ({"architectures": ["AutoConfig"]}, r"architectures is \['AutoConfig'\], which names no model class"),
        ({"architectures": ["no such"]}, "which names no model class"),
        (
            {"vocab_size": 21},
            r"'bert\.embeddings\.word_embeddings\.weight' has shape \[20, 8\], and .* wants \[21, 8\]",
        ),
        ({"num_hidden_layers": 3}, "16 of its parameters are not in the file"),
        ({"hidden_size": 9}, "no BertForSequenceClassification can be built from it .*multiple of"),
        ({"model_type": "nothing", "auto_map": {"AutoConfig": "x.y"}}, "can be built from it"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict[str, Any], message: str, saved: Any) -> None:
    source = saved("BertForSequenceClassification")
    edit(source, **changes)
    with pytest.raises(ValueError, match=message):
        plan_checkpoint(source, NOISE)


def test_a_config_of_more_layers_than_the_files_could_fill_is_refused_early(saved: Any) -> None:
    source = saved("BertModel")
    for changes, message in [
        (
            {"num_hidden_layers": 1_000_000_000},
            r"num_hidden_layers is 1000000000, and the files hold 39 tensors",
        ),
        ({"num_hidden_layers": 1300}, "BertModel has more than 1390 parameters by it, and the files hold 39"),
        (
            {"text_config": {"n_layers": 5000}},
            r"text_config\.n_layers is 5000, .* take the config\.json",
        ),
    ]:
        edit(source, **{"num_hidden_layers": 2} | changes)
        with pytest.raises(ValueError, match=message):
            plan_checkpoint(source, NOISE)


def test_a_single_file_without_a_config_needs_its_own_names(tmp_path: Path) -> None:
    source = save(tmp_path / "x.safetensors", {"module.w": normal((3, 3))})
    with pytest.raises(ValueError, match=r"has no config\.json, so the model is not known; .*--names file"):
        plan_checkpoint(source, NOISE)
    (row,) = plan_checkpoint(source, NOISE, names="file").record().tensors
    assert (row.name, row.path) == ("w", "module.w")


QUANTISED = {
    "a.qweight": torch.ones(4, 4, dtype=torch.int32),
    "a.scales": normal((4, 2)),
    "a.bias": normal((4,)),
    "b.weight": torch.ones(4, 4).to(torch.float8_e4m3fn),
    "b.weight_scale_inv": normal((2, 2)),
    "c.weight": torch.ones(8, 1, dtype=torch.uint8),
    "c.weight.absmax": normal((8,)),
    "d.weight": normal((4, 4)),
    "norm.scale": normal((4,)),
}


def test_integers_and_scales_of_quantised_tensors_are_left_alone(tmp_path: Path) -> None:
    tensors = QUANTISED
    source = save(tmp_path / "x.safetensors", tensors)
    record = perturb_checkpoint(source, tmp_path / "y.safetensors", NOISE, names="file").record
    scale, whole = "scale of a quantised tensor", "integer or quantised"
    found = {row.name: (row.reason, row.dtype) for row in record.tensors if row.reason}
    assert found == {
        "a.qweight": (whole, "I32"),
        "a.scales": (scale, "F32"),
        "b.weight": (whole, "F8_E4M3"),
        "b.weight_scale_inv": (scale, "F32"),
        "c.weight": (whole, "U8"),
        "c.weight.absmax": (scale, "F32"),
    }
    after = load(tmp_path / "y.safetensors")
    changed = {name for name in tensors if not torch.equal(after[name].float(), tensors[name].float())}
    assert changed == {"a.bias", "d.weight", "norm.scale"}


def test_a_quantised_model_under_its_names(saved: Any) -> None:
    source = saved("BertForSequenceClassification")
    tensors = load(source)
    layer = "bert.encoder.layer.0.output.dense"
    del tensors[f"{layer}.weight"]
    tensors |= {f"{layer}.qweight": torch.ones(2, 2, dtype=torch.int32), f"{layer}.scales": normal((2,))}
    tensors["bert.embeddings.position_ids"] = torch.arange(16)
    save(source / "model.safetensors", tensors)
    rows = {row.path: row.reason for row in plan_checkpoint(source, NOISE).record().tensors}
    assert f"{layer}.weight" not in rows
    assert rows[f"{layer}.qweight"] == rows["bert.embeddings.position_ids"] == "integer or quantised"
    assert rows[f"{layer}.scales"] == "scale of a quantised tensor"
    assert rows[f"{layer}.bias"] is None


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("", "module.", "module."),
        ("", "module._orig_mod.", "module._orig_mod."),
        ("", "base_model.model.", "base_model.model."),
        ("encoder.", "encoder._orig_mod.", "_orig_mod."),
    ],
)
@pytest.mark.parametrize("shard", ["5GB", "3KB"])
def test_what_a_wrapper_left_in_the_names_is_named_and_its_removal_works(
    old: str, new: str, left: str, shard: str, saved: Any, tmp_path: Path
) -> None:
    """The advice is followed to the letter; the weights are then those of before."""
    source = saved("BertModel", shard=shard)
    want = perturb_checkpoint(source, tmp_path / "want", NOISE).record
    index = source / "model.safetensors.index.json"
    names = json.loads(index.read_text())["weight_map"] if shard == "3KB" else {}
    for path in source.glob("*.safetensors"):
        save(path, {name.replace(old, new, 1): value for name, value in load(path).items()})
    if names:
        wrapped = {name.replace(old, new, 1): file for name, file in names.items()}
        index.write_text(json.dumps({"weight_map": wrapped}))
    with pytest.raises(ValueError, match=rf"a wrapper left '{re.escape(left)}' in the names") as refused:
        plan_checkpoint(source, NOISE)
    (code,) = re.findall(r"in each file f by (.*?), and in model\.saf", str(refused.value))
    for path in source.glob("*.safetensors"):
        exec(f"import safetensors.torch; {code}", {"f": path})
    if names:
        index.write_text(json.dumps({"weight_map": names}))
    assert perturb_checkpoint(source, tmp_path / "t", NOISE).record == want
    assert same_files(tmp_path / "t", tmp_path / "want")


def test_weights_of_a_wrapped_adapter_are_to_be_merged(saved: Any) -> None:
    source = saved("BertModel")
    renamed(source, "", "base_model.model.")
    renamed(source, "query.weight", "query.base_layer.weight")
    with pytest.raises(ValueError, match=r"left 'base_model\.model\.' .*; save model\.merge_and_unload\(\)"):
        plan_checkpoint(source, NOISE)


def same_files(one: Path, other: Path) -> bool:
    pairs = [(path, other / path.name) for path in one.glob("*.safetensors")]
    return bool(pairs) and all(
        torch.equal(load(left)[name], load(right)[name]) for left, right in pairs for name in load(right)
    )


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"exclude='\*biass' fits none of the 62 tensors"):
        plan_checkpoint(MODEL_DIR, dither.NoisyTune(exclude="*biass"))


def test_a_method_for_training_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a checkpoint is noised by dither\.NoisyTune"):
        plan_checkpoint(MODEL_DIR, dither.PATS())  # type: ignore[arg-type]


def test_what_was_noised_is_not_noised_again(saved: Any, tmp_path: Path) -> None:
    perturb_checkpoint(saved("BertModel"), tmp_path / "once", NOISE)
    with pytest.raises(
        ValueError, match=r"once was noised before with this very recipe; it is what you want"
    ):
        plan_checkpoint(tmp_path / "once", NOISE)
    with pytest.raises(ValueError, match=r"with recipe \w+, now \w+ is asked for; take the original weights"):
        plan_checkpoint(tmp_path / "once", dither.NoisyTune(seed=2), names="file")
    one, two, three = (tmp_path / f"{name}.safetensors" for name in "abc")
    save(one, {"w": normal((3, 3))})
    perturb_checkpoint(one, two, NOISE, names="file")
    with pytest.raises(ValueError, match=r"b\.safetensors was noised before"):
        perturb_checkpoint(two, three, NOISE, names="file")


def test_marks_that_are_none_are_refused(saved: Any) -> None:
    source = saved("BertModel")
    edit(source, dither="yes")
    with pytest.raises(ValueError, match=r"config\.json: the marks of earlier noise are 'yes'"):
        plan_checkpoint(source, NOISE)


def test_strength_zero_is_a_copy_without_a_mark(saved: Any, tmp_path: Path) -> None:
    source = saved("BertModel")
    perturb_checkpoint(source, tmp_path / "copy", dither.NoisyTune(noise_lambda=0.0))
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (source / name).read_bytes()
