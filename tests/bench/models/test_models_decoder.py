"""Decoders under heads whose files call the backbone otherwise: their own weights, or a refusal."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from dither.bench.models.loading import find_model, load_model, load_tokenizer


def test_a_backbone_that_would_be_random_is_refused(stories_dir, small_task, tmp_path):
    shutil.copytree(stories_dir, tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    path.chmod(0o644)
    save_file({key.replace("model.", "net."): value for key, value in load_file(path).items()}, path)
    with pytest.raises(ValueError, match=r"of LlamaForQuestionAnswering are not in the file .* random"):
        load_model(find_model(str(tmp_path / "other")), small_task("span"))


def test_a_decoder_answers_questions_with_its_own_weights(stories_dir, small_task, tmp_path):
    task, weights = small_task("span"), load_file(stories_dir / "model.safetensors")
    model = load_model(find_model(str(stories_dir)), task)
    assert torch.equal(model.transformer.embed_tokens.weight, weights["model.embed_tokens.weight"])
    model.save_pretrained(tmp_path / "saved")
    load_tokenizer(find_model(str(stories_dir))).save_pretrained(tmp_path / "saved")
    again = load_model(find_model(str(tmp_path / "saved")), task, head_weights="file").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
