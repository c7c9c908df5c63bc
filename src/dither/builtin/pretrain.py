"""Pretrain the built-in model: ``python -m dither.builtin.pretrain --out DIR``.

BERT's own recipe in miniature: masked words, and whether the second segment belongs to the first. The second
objective trains the pooler, so that no part of the backbone is new when the model is fine-tuned.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoTokenizer, BertConfig, BertForPreTraining

from dither.builtin.masking import IGNORED, PAD, Batch, Batches, Coded
from dither.builtin.model_card import model_card
from dither.builtin.text import pretraining_sentences
from dither.builtin.tokenizer import MAX_LENGTH, write_tokenizer


@dataclass(frozen=True)
class Settings:
    """How to pretrain.

    Args:
        steps: Optimizer steps, >= 1.
        seed: Seeds text, initial weights, masks and order.
        threads: CPU threads; another number gives other last bits.
        texts: Pieces of text to go through, again and again.
        batch: Pieces per step.
        learning_rate: Peak of AdamW's learning rate: 5 % warm-up, then linear to 0.
        weight_decay: AdamW's weight decay, on matrices.
        masked: Share of words to be predicted.
        hidden: Width.
        layers: Depth.
        heads: Attention heads.
        intermediate: Width inside the feed-forward blocks.
    """

    steps: int = 10_000
    seed: int = 0
    threads: int = 1
    texts: int = 100_000
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    masked: float = 0.3
    hidden: int = 96
    layers: int = 3
    heads: int = 4
    intermediate: int = 256


def new_model(settings: Settings, vocabulary_size: int) -> BertForPreTraining:
    """Return the architecture with fresh weights that depend on ``settings.seed`` alone."""
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=PAD,
        initializer_range=0.06,  # BERT's 0.02 is meant for eight times the width, and learns slowly here
        tie_word_embeddings=True,
    )
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):  # the constructor draws from the global generator
        model = BertForPreTraining(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
        model.bert.embeddings.word_embeddings.weight[PAD] = 0.0
        _look_for_the_same(model, generator)
    return model


def _look_for_the_same(model: BertForPreTraining, generator: torch.Generator) -> None:
    """Start attention where training leads it anyway: look for the same word, and pass it on.

    Queries equal keys, the output undoes the values, and the vocabulary head lets through what it gets.
    Random weights of this size take millions of words to find out that a word of one segment tends to come
    back in the other.

    Reference:
        Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers", ICML 2023. Ours is simpler:
        equal and inverse matrices without noise.
    """
    for layer in model.bert.encoder.layer:
        attention = layer.attention
        looked_for = torch.nn.init.orthogonal_(attention.self.query.weight, gain=0.6, generator=generator)
        attention.self.key.weight.copy_(looked_for)
        passed_on = torch.nn.init.orthogonal_(attention.self.value.weight, generator=generator)
        attention.output.dense.weight.copy_(passed_on.T)
    weight = model.cls.predictions.transform.dense.weight
    weight.mul_(0.5).add_(torch.eye(len(weight)))


def losses(model: BertForPreTraining, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the mean losses of masked words and of second segments."""
    hidden, pooled = model.bert(
        batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
    )[:2]
    chosen = batch.labels != IGNORED
    # Only the masked words are compared with the whole vocabulary.
    scores = model.cls.predictions(hidden[chosen])
    words = torch.nn.functional.cross_entropy(scores, batch.labels[chosen])
    pairs = batch.follows != IGNORED
    verdicts = model.cls.seq_relationship(pooled[pairs])
    segments = torch.nn.functional.cross_entropy(verdicts, batch.follows[pairs], reduction="sum")
    return words, segments / max(1, int(pairs.sum()))


def pretrain(out: Path, settings: Settings) -> dict[str, Any]:
    """Pretrain a model and write it with its tokenizer and a record of how it was made.

    Args:
        out: Folder to write; made if missing.
        settings: How to pretrain.

    Returns:
        The record: settings, versions, seconds, ``losses`` (masked words, mean of every tenth of the steps).
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    write_tokenizer(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = new_model(settings, len(tokenizer))
    # Without dropout from here on: eval() turns it off and lets gradients through. Fine-tuning has it.
    model.eval()
    started = time.perf_counter()
    source = Batches(
        coded_text(settings, tokenizer),
        size=settings.batch,
        masked=settings.masked,
        seed=settings.seed,
    )
    history = _train(model, settings, iter(source))
    record = {
        "settings": asdict(settings),
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "positions": MAX_LENGTH,
        "losses": history,
        "final_loss": history[-1],
        "seconds": round(time.perf_counter() - started),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    model.save_pretrained(out)
    (out / "MODEL_CARD.md").write_text(model_card(record), encoding="utf-8")
    (out / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def coded_text(settings: Settings, tokenizer: Any) -> list[Coded]:
    """Return the text to learn from, as token ids."""
    texts = pretraining_sentences(settings.texts, settings.seed)
    return [[tokenizer(part, add_special_tokens=False)["input_ids"] for part in text] for text in texts]


def _train(model: BertForPreTraining, settings: Settings, source: Iterator[Batch]) -> list[float]:
    """Take the steps; return the mean loss of masked words over every tenth of them."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    warm_up = max(1, settings.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / warm_up, (settings.steps - t) / max(1, settings.steps - warm_up))
    )
    history: list[float] = []
    recent: list[float] = []
    tenth = max(1, settings.steps // 10)
    for step in range(1, settings.steps + 1):
        words, segments = losses(model, next(source))
        (words + segments).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        recent.append(words.item())
        if step % tenth == 0:
            history.append(round(sum(recent) / len(recent), 4))
            recent.clear()
            print(
                f"step {step}/{settings.steps}  words {history[-1]:.3f}  segments {segments.item():.3f}",
                flush=True,
            )
    return history


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m dither.builtin.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    for name in ("steps", "seed", "threads", "texts"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Settings, name))
    chosen = vars(parser.parse_args(arguments))
    record = pretrain(chosen.pop("out"), Settings(**chosen))
    print(json.dumps(record["versions"]), f"final loss {record['final_loss']}, {record['seconds']} s")


if __name__ == "__main__":
    main()
