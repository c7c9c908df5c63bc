"""Models with inputs as a collator gives them, and proof that a model is as it was."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

Batch = dict[str, torch.Tensor]


def load(folder: Path, labels: int) -> tuple[Any, Any]:
    """A model with a seeded head, in training mode, and its tokenizer."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=labels, dtype=torch.float32, local_files_only=True
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.train(), tokenizer


def batches(
    tokenizer: Any, rows: Sequence[dict[str, Any]], columns: Sequence[str], size: int = 16
) -> list[Batch]:
    """Rows in batches, padded to the longest."""
    found = []
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        texts = [[row[column] for row in part] for column in columns]
        inputs = tokenizer(*texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
        found.append({**inputs, "labels": torch.tensor([row["label"] for row in part])})
    return found


def stsb(test_data: Path, count: int) -> list[dict[str, Any]]:
    """The first train rows of STS-B."""
    with gzip.open(test_data / "data/glue/stsb/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(next(lines)) for _ in range(count)]


def builtin(count: int) -> tuple[Any, list[Batch]]:
    """The built-in model, and rows of its acceptability task."""
    from dither.builtin import MODEL_DIR, rows

    model, tokenizer = load(MODEL_DIR, 2)
    return model, batches(tokenizer, rows("acceptability", "train")[:count], ["sentence"])


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, gradients, what is frozen and the mode of every module, bit for bit."""
    before = _snapshot(model)
    yield
    after = _snapshot(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, f"{name} was changed"


def _snapshot(model: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        found |= {name: parameter.detach().clone(), f"{name} frozen": not parameter.requires_grad}
        found[f"{name} gradient"] = None if parameter.grad is None else parameter.grad.clone()
    for name, buffer in model.named_buffers():
        found[f"{name} buffer"] = buffer.clone()
    for name, module in model.named_modules():
        found[f"{name} state"] = (module.training, len(module._forward_hooks), sorted(vars(module)))
    return found


class Encoder(nn.Module):
    """Two layers over a table, with dropout, batch statistics, a counter and a loss."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)

        def weights(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        self.table = nn.Embedding(20, 8, _weight=weights(20, 8))
        self.inner = nn.utils.skip_init(nn.Linear, 8, 8)
        self.head = nn.utils.skip_init(nn.Linear, 8, 2)
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.3)
        with torch.no_grad():
            for layer, width in ((self.inner, 8), (self.head, 2)):
                layer.weight.copy_(weights(width, 8) / 3)
                layer.bias.copy_(weights(width) / 3)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.fail_at = fail_at

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        self.passes += 1
        if self.fail_at is not None and bool(self.table.weight[3, 3] != self.table.weight[3, 3].round()):
            self.fail_at -= 1
            if self.fail_at < 0:
                raise RuntimeError("out of memory, say")
        states = self.drop(self.norm(self.inner(self.table(input_ids)).mT).mT).tanh()
        logits = self.head(states.mean(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "last_hidden_state": states}


def own_batches(count: int, rows: int = 6, tokens: int = 7) -> list[Batch]:
    """Inputs of `Encoder`."""
    generator = torch.Generator().manual_seed(5)
    return [
        {
            "input_ids": torch.randint(0, 20, (rows, tokens), generator=generator),
            "labels": torch.randint(0, 2, (rows,), generator=generator),
        }
        for _ in range(count)
    ]


Loaded = Callable[[], tuple[Any, list[Batch]]]
