"""The shipped weights: they load everywhere, stay small, know the grammar and beat a fresh start."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from dither.builtin import MODEL_DIR, rows

HEADS = {
    "AutoModel": set(),
    "AutoModelForMaskedLM": set(),
    "AutoModelForPreTraining": set(),
    "AutoModelForSequenceClassification": {"classifier.bias", "classifier.weight"},
    "AutoModelForTokenClassification": {"classifier.bias", "classifier.weight"},
    "AutoModelForQuestionAnswering": {"qa_outputs.bias", "qa_outputs.weight"},
}


@pytest.fixture(autouse=True)
def one_quiet_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(logging.ERROR)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", HEADS)
def test_only_the_head_is_new(name: str) -> None:
    auto = getattr(transformers, name)
    model, report = auto.from_pretrained(MODEL_DIR, output_loading_info=True)
    assert set(report["missing_keys"]) == HEADS[name]
    assert not report["mismatched_keys"]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_folder_is_small_and_whole() -> None:
    sizes = {path.name: path.stat().st_size for path in MODEL_DIR.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(sizes)
    assert sizes["model.safetensors"] <= 4_000_000
    assert sum(sizes.values()) <= 4_200_000


def test_card_tells_what_was_recorded() -> None:
    from dither.builtin.model_card import model_card

    record = json.loads((MODEL_DIR / "pretraining.json").read_text(encoding="utf-8"))
    assert (MODEL_DIR / "MODEL_CARD.md").read_text(encoding="utf-8") == model_card(record)
    assert record["losses"][-1] == record["final_loss"] < 0.5 * record["losses"][0]


def test_masked_verb_agrees_with_its_subject() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    model = transformers.AutoModelForMaskedLM.from_pretrained(MODEL_DIR).eval()
    for subject, right, wrong in (
        ("The dog", "is", "are"),
        ("These dogs", "are", "is"),
        ("Two owls", "were", "was"),
    ):
        coded = tokenizer(f"{subject} [MASK] sleeping.", return_tensors="pt")
        at = coded["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            scores = model(**coded).logits[0, at]
        ids = tokenizer.convert_tokens_to_ids([right, wrong])
        assert scores[ids[0]] > scores[ids[1]] + 2, subject


def fine_tuned_correlation(task: str, seed: int, *, pretrained: bool) -> float:
    """Fine-tune on 160 rows with labels as numbers; return the correlation on half of validation."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    config = AutoConfig.from_pretrained(MODEL_DIR, num_labels=1)
    auto = transformers.AutoModelForSequenceClassification
    torch.manual_seed(seed)
    model = auto.from_pretrained(MODEL_DIR, config=config) if pretrained else auto.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def coded(some: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        keys = [key for key in ("sentence", "sentence1", "sentence2") if key in some[0]]
        segments = ([row[key] for row in some] for key in keys)
        text = tokenizer(*segments, padding=True, return_tensors="pt")
        return {**text, "labels": torch.tensor([float(row["label"]) for row in some])}

    train = rows(task, "train")[:160]
    model.train()
    for _ in range(8):
        order = torch.randperm(len(train)).tolist()
        for start in range(0, len(order), 16):
            model(**coded([train[i] for i in order[start : start + 16]])).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    batch = coded(rows(task, "validation")[:240])
    model.eval()
    with torch.no_grad():
        predicted = model(**batch).logits[:, 0]
    return float(torch.corrcoef(torch.stack([predicted, batch["labels"]]))[0, 1])


@pytest.mark.parametrize("task", ["sentiment", "similarity"])
def test_pretraining_beats_a_fresh_start(task: str) -> None:
    margins = [
        fine_tuned_correlation(task, seed, pretrained=True)
        - fine_tuned_correlation(task, seed, pretrained=False)
        for seed in range(2)
    ]
    assert min(margins) > 0.1, margins
