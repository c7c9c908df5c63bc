"""A head is drawn from the seed, whatever the model's file brings; where it is taken, its labels fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import SPECIAL, plan_of, save_encoder, tokenizer, write_task
from transformers import (
    BertForSequenceClassification,
    BertForTokenClassification,
    BigBirdConfig,
    BigBirdForQuestionAnswering,
    T5Config,
    T5ForQuestionAnswering,
    T5Model,
)

from dither.bench.models import kept_weights
from dither.bench.models.brought_heads import brought_head, head_names
from dither.bench.models.files import find_model
from dither.bench.models.loading import load_model
from dither.bench.runs.encoding import encode
from dither.bench.runs.training import make_trainer

THREE = {"id2label": {0: "no", 1: "yes", 2: "perhaps"}}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch) -> None:
    monkeypatch.setattr(kept_weights, "_KEPT", {})


def loaded(folder: Path, task, **options):
    """A model, and the state of torch's generator after it was made."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return load_model(find_model(str(folder)), task, **options), torch.get_rng_state()


def without_head(folder: Path, target: Path) -> Path:
    """The same model whose file has a backbone alone."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    assert len(kept) < len(tensors)
    save_file(kept, target / "model.safetensors", {"format": "pt"})
    return target


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (BertForSequenceClassification, 2),
        (BertForSequenceClassification, 5),
        (BertForTokenClassification, 2),
    ],
)
def test_a_head_in_the_file_changes_no_bit(kind, labels, small_task, tmp_path):
    """Nor of what is drawn later; nor where the weights are kept in memory."""
    brought = save_encoder(tmp_path / "brought", kind, num_labels=labels)
    plain = without_head(brought, tmp_path / "plain")
    want, state = loaded(plain, small_task())
    for _ in range(2):
        model, same_state = loaded(brought, small_task())
        assert all(torch.equal(value, want.state_dict()[name]) for name, value in model.state_dict().items())
        assert torch.equal(state, same_state)
        assert model.config.num_labels == 2


def test_a_backbone_of_other_shapes_is_refused_under_a_head_that_is_left_alone(small_task, tmp_path):
    folder = save_encoder(tmp_path / "brought", BertForSequenceClassification, num_labels=5)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 32', '"intermediate_size": 24'))
    with pytest.raises(ValueError, match=r"of other shapes .*size mismatch of bert\.encoder\.layer\.0\."):
        loaded(folder, small_task())


def test_the_head_of_a_file_may_be_taken(small_task, tmp_path):
    folder = save_encoder(tmp_path / "tuned", BertForSequenceClassification, **THREE)
    task = small_task(labels=["no", "yes", "perhaps"], metrics=["accuracy"])
    stored = load_file(folder / "model.safetensors")
    model, _ = loaded(folder, task, head_weights="file")
    assert torch.equal(model.classifier.weight, stored["classifier.weight"])
    sorted_otherwise = small_task(labels=["perhaps", "no", "yes"], metrics=["accuracy"])
    other, _ = loaded(folder, sorted_otherwise, head_weights="file")
    for name in ("weight", "bias"):
        assert torch.equal(getattr(other.classifier, name), stored[f"classifier.{name}"][[2, 0, 1]])
    assert other.config.id2label == {0: "perhaps", 1: "no", 2: "yes"}
    assert torch.equal(loaded(folder, task)[0].classifier.bias, torch.zeros(3))  # none of it is kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_labels": 3},
            "for the labels LABEL_0, LABEL_1, LABEL_2, and task 'mine/small' has no, yes",
        ),
        ({"id2label": {0: "no", 1: "yes", 2: "never"}}, "for the labels no, yes, never, and task"),
        (
            {"num_labels": 2},
            r"of other shapes .* 3 outputs\).*; leave train\.head_weights=file",
        ),
    ],
)
def test_a_head_for_other_labels_is_not_taken(changes, message, small_task, tmp_path):
    folder = save_encoder(tmp_path / "tuned", BertForSequenceClassification, **changes)
    task = small_task(labels=["no", "yes", "perhaps"], metrics=["accuracy"])
    with pytest.raises(ValueError, match=message):
        loaded(folder, task, head_weights="file")
    loaded(folder, task)


def test_a_file_without_a_head_has_none_to_take(small_task, tmp_path):
    with pytest.raises(ValueError, match=r"no head for classification, .*'classifier\.bias' is not in"):
        loaded(save_encoder(tmp_path / "bare"), small_task(), head_weights="file")


def t5(folder: Path, kind: type) -> Path:
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    kind(T5Config(vocab_size=len(SPECIAL) + 20, decoder_start_token_id=0, **sizes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def test_a_class_that_holds_its_backbone_in_itself_has_a_head_all_the_same(small_task, tmp_path):
    folder, task = t5(tmp_path / "t5", T5Model), small_task("span")
    model, _ = loaded(folder, task)
    assert head_names(model) == {"qa_outputs.weight", "qa_outputs.bias"}
    assert head_names(T5Model(model.config)) == set()
    whole = find_model(str(t5(tmp_path / "whole", T5ForQuestionAnswering)))
    assert brought_head(whole, task) == ["qa_outputs.bias", "qa_outputs.weight"]
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("encoder.")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"tensors of the backbone of T5ForQuestionAnswering are not in"):
        loaded(folder, task)


def test_a_head_under_old_names_is_not_read_either(small_task, tmp_path):
    """Its LayerNorm has the names of TensorFlow in the file, which loading translates."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BigBirdConfig(vocab_size=30, attention_type="original_full", max_position_embeddings=32, **sizes)
    BigBirdForQuestionAnswering(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(path)
    for new, former in old.items():
        tensors[f"qa_classifier.output.{former}"] = tensors.pop(f"qa_classifier.output.{new}")
    only_these = {
        name: value for name, value in tensors.items() if name.startswith("bert.") or "Norm" in name
    }
    save_file(only_these, path, {"format": "pt"})
    message = (
        r"takes 'qa_classifier\.output\.LayerNorm\.bias' of its head .* another name.*; save the backbone"
    )
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, small_task("span"))
    model = BigBirdForQuestionAnswering.from_pretrained(tmp_path)
    model.base_model.save_pretrained(tmp_path)  # as the message says
    loaded(tmp_path, small_task("span"))


def test_runs_that_leave_a_head_alone_are_told_from_those_of_before(tmp_path, caplog):
    task = write_task(tmp_path / "task")
    plain = plan_of(task, save_encoder(tmp_path / "plain"))
    assert plain.train_settings == {}
    folder = save_encoder(tmp_path / "tuned", BertForSequenceClassification, num_labels=2)
    assert caplog.records == []
    plan = plan_of(task, folder)
    assert "brings a head (classifier.bias), which is left alone: each run draws its own" in caplog.text
    assert plan.train_settings == {"head_weights": "new"}
    (request,) = plan.requests()
    assert request.spec.train_settings == {"head_weights": "new"}
    before = replace(plan, train_settings={}).experiment("compare")
    setting, why = before.differences(plan.experiment("compare"))
    assert setting == "train_settings.head_weights: not set there, 'new' now"
    assert "the folder's runs took it" in why


def test_a_run_has_the_head_that_was_asked_for(tmp_path, caplog):
    task = write_task(tmp_path / "task")
    labels = {"id2label": {0: "bad", 1: "good"}}
    folder = save_encoder(tmp_path / "tuned", BertForSequenceClassification, **labels)
    stored, found = load_file(folder / "model.safetensors")["classifier.weight"], {}
    for setting in ("train.head_weights=file", "train.head_weights=new"):
        (request,) = plan_of(task, folder, setting).requests()
        trainer, *_ = make_trainer(request, encode(request))
        found[setting] = torch.equal(trainer.model.classifier.weight.cpu(), stored)
    assert found == {"train.head_weights=file": True, "train.head_weights=new": False}
    assert caplog.records == []
