"""A tiny BERT with a WordPiece tokenizer, saved as users save theirs, and requests of runs on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import parse_settings
from dither.bench.runs.request import RunRequest

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "film", "was", "good", "bad", "a", "cat", "sat", "on", "mat", "who", "where", "play", "?"]
PIECES = ["##ing", "##ed", "##s"]
LABELS = {"good": 1, "bad": 0}


def tokenizer() -> PreTrainedTokenizerFast:
    """WordPiece over a few words: `playing` is two tokens, what is unknown is one."""
    vocabulary = {token: number for number, token in enumerate(SPECIAL + WORDS + PIECES)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def config(**changes: Any) -> BertConfig:
    """One layer, 16 wide, with dropout."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    sizes["initializer_range"] = 0.3  # so that words differ
    size = len(SPECIAL + WORDS + PIECES)
    return BertConfig(**{"vocab_size": size, "max_position_embeddings": 64, **sizes, **changes})


def save_encoder(folder: Path, kind: type = BertModel, *, pooler: bool = True, **changes: Any) -> Path:
    """Save the encoder, or another head of it, with its tokenizer; the weights are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = kind(config(**changes)) if pooler else kind(config(**changes), add_pooling_layer=False)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentences(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows whose label a tiny model can learn: good or bad."""
    words = [("good", "bad")[(start + number) % 2] for number in range(count)]
    return [
        {"text": f"{word} film {word}" + " the cat" * (number % 3), "label": LABELS[word]}
        for number, word in enumerate(words)
    ]


def write_task(folder: Path, *, train: int = 24, evaluated: int = 12, **changes: Any) -> Path:
    """Write a task of one text and two labels with its rows beside it; return the TOML file."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"name": "mine/films", "columns": ["text"], "label": "label", "labels": ["bad", "good"]}
    recipe = {"learning_rate": 0.01, "epochs": 10, "batch_size": 8, "max_length": 16}
    text = "\n".join(
        f"{key} = {json.dumps(value)}"
        for key, value in {
            "version": 1,
            "summary": "Films.",
            "head": "classification",
            "source": "local",
            "metrics": ["accuracy"],
            "primary": ["accuracy"],
            "train": "train",
            **keys,
            **changes,
        }.items()
    )
    tables = {"evaluation": {"validation": "validation"}, "recipe": recipe}
    for name, table in tables.items():
        text += f"\n[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    for split, rows in (("train", sentences(train)), ("validation", sentences(evaluated, 1))):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "films.toml"
    path.write_text(text + "\n")
    return path


def plan_of(
    task: Path | str,
    model: Path | str,
    *settings: str,
    methods: tuple[str, ...] = ("none",),
    seeds: tuple[int, ...] = (0,),
    **options: Any,
) -> Plan:
    """A plan as the command line makes it."""
    arms, train = parse_settings(settings, methods)
    return Plan.create([str(task)], str(model), arms, seeds, train_settings=train, **options)


def requests_of(*arguments: Any, **options: Any) -> Mapping[tuple[str, int], RunRequest]:
    """The requests of `plan_of`, by method and seed; where λ is to be matched, with its usual number."""
    found = plan_of(*arguments, **options).provisional().requests()
    return {(request.spec.method, request.spec.seed): request for request in found}
