from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dither.builtin.masking import IGNORED, MASK, PAD, SEP, Batches
from dither.builtin.pretrain import Settings, main, new_model, pretrain
from dither.builtin.tokenizer import SPECIAL

TINY = Settings(steps=40, threads=1, texts=400, batch=16, hidden=32, layers=1, heads=2, intermediate=32)
TEXTS = [[[10, 11, 12]], [[20, 21], [22, 23]], [[30, 31, 32], [33]]]


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_loss_falls_and_the_record_is_whole(tmp_path: Path, unmoved_random_state: None) -> None:
    record = pretrain(tmp_path / "model", TINY)
    assert record["losses"][-1] < record["losses"][0] - 0.5
    stored = json.loads((tmp_path / "model" / "pretraining.json").read_text(encoding="utf-8"))
    assert stored == record
    assert stored["settings"]["steps"] == 40
    assert set(stored["versions"]) == {"python", "torch", "transformers"}
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "40 steps of 16 texts" in " ".join(card.split())


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    short = replace(TINY, steps=3, texts=60)
    for name, settings in (("a", short), ("b", short), ("c", replace(short, seed=1))):
        pretrain(tmp_path / name, settings)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["bert.pooler.dense.weight"], c["bert.pooler.dense.weight"])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path), "--steps", "2", "--seed", "5", "--threads", "1", "--texts", "40"])
    assert "step 2/2" in capsys.readouterr().out
    record = json.loads((tmp_path / "pretraining.json").read_text(encoding="utf-8"))
    assert (record["settings"]["seed"], record["settings"]["texts"]) == (5, 40)


def test_fresh_weights_depend_on_the_seed_alone(unmoved_random_state: None) -> None:
    first, again = (new_model(TINY, 50).bert.embeddings.word_embeddings.weight for _ in range(2))
    assert torch.equal(first, again)
    assert first[PAD].abs().sum() == 0
    assert 0.05 < first.std() < 0.07


def test_masks_ask_for_words_only() -> None:
    source = Batches(TEXTS, size=3, masked=0.5, seed=0)
    asked = shown = 0
    for _, batch in zip(range(200), source, strict=False):
        labels = batch.labels[batch.labels != IGNORED]
        assert (labels >= len(SPECIAL)).all()
        kept = batch.input_ids[batch.labels == IGNORED]
        assert not (kept == MASK).any()
        asked += len(labels)
        shown += int((batch.input_ids == MASK).sum())
    assert 0.45 < shown / asked < 0.55


def test_pairs_are_judged_and_some_are_strangers() -> None:
    source = Batches(TEXTS, size=3, masked=0.1, seed=0)
    verdicts = []
    for _, batch in zip(range(200), source, strict=False):
        for ids, types, verdict in zip(batch.input_ids, batch.token_type_ids, batch.follows, strict=True):
            segments = int((ids == SEP).sum())
            assert (int(verdict) == IGNORED) == (segments == 1)
            assert bool(types.any()) == (segments == 2)
            verdicts += [int(verdict)] if segments == 2 else []
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.2
