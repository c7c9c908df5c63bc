"""Sentences as means of states, whatever stands beside them in a batch, and the runs that use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoder import requests_of

from dither.bench.heads import HEADS
from dither.bench.models import states
from dither.bench.models.loading import find_model, load_model, load_tokenizer
from dither.bench.models.states import MeanState
from dither.bench.runs import evaluation
from dither.bench.runs.encoding import encode
from dither.bench.runs.run import run
from dither.bench.runs.training import make_trainer
from dither.bench.tasks.files import load_task

TEXTS = ["a cat", "the cat saw a very small dog in the old garden", "dog", "\u200b"]


def loaded(model: str) -> tuple[Any, Any]:
    source = find_model(model)
    return load_model(source, load_task("builtin/entailment")).train(), load_tokenizer(source)


def batches(made: Any, sizes: int) -> list[dict[str, Any]]:
    head, rows = HEADS["retrieval"], [{"source": text, "target": None} for text in TEXTS]
    features, collate = head.encode(load_task("builtin/mining"), rows, made, 32), head.collator(made)
    return [collate(features[at : at + sizes]) for at in range(0, len(features), sizes)]


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_sentence_is_the_mean_of_its_tokens(
    special: bool, layer: int, side: str, stories_dir: Path
) -> None:
    for name in ("builtin", str(stories_dir)):
        model, made = loaded(name)
        made.padding_side = side
        mean = MeanState(model, layer, special_tokens=special).eval()
        with torch.no_grad():
            together = torch.cat([mean(**batch)["states"] for batch in batches(made, 4)])
            for text, found in zip(TEXTS, together, strict=True):
                tokens = made(text, return_tensors="pt", return_special_tokens_mask=True)
                kept = (tokens.pop("special_tokens_mask")[0] == 0) | special
                alone = model.base_model(**tokens, output_hidden_states=True).hidden_states[layer][0]
                wanted = alone[kept].mean(dim=0) if kept.any() else torch.zeros_like(found)
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_reader_has_the_trained_weights_and_no_dropout() -> None:
    request = requests_of("builtin/retrieval", "builtin", "train.epochs=0.1")["none", 0]
    encoded = encode(request)
    trainer, *_ = make_trainer(request, encoded)
    trainer.train()
    reader = states.reading(request, trainer)
    assert reader.model.backbone is trainer.model.base_model
    few = encoded.features["validation.xx"][:5]
    first, again = (reader.predict(few).predictions for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (5, 96)
    assert trainer.model is not reader.model


def test_the_threshold_comes_from_the_other_split(monkeypatch: pytest.MonkeyPatch) -> None:
    request = requests_of("builtin/mining", "builtin", "train.epochs=0.1")["none", 0]
    seen = []

    def watched(mined: Any, gold: Any) -> float:
        seen.append((len(mined), gold))
        return float("inf")

    monkeypatch.setattr(evaluation, "best_threshold", watched)
    result = run(request)
    assert [count for count, _ in seen] == [480]
    shown = encode(request).rows["train.xx"]
    assert seen[0][1] == [n if row["source"] and row["target"] else None for n, row in enumerate(shown)]
    assert (result.score, set(result.predictions["xx"])) == (0.0, {None})
    assert result.status == "failed"


def test_a_pretrained_model_of_two_languages_finds_translations() -> None:
    """The built-in model saw both languages; chance is one in 480."""
    result = run(requests_of("builtin/retrieval", "builtin", "train.epochs=0.1")["none", 0])
    assert result.constant_score == pytest.approx(100 / 480)
    assert result.score > 50
    assert result.failure is None
