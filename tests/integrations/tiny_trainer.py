"""A tiny BERT, a tiny data set and a Trainer for them: small enough for dozens of runs in a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

STEPS = 12


class Sentences(Dataset):
    """Rows of random tokens; each row carries its index, so that the order of the data can be seen."""

    def __init__(self, rows: int = 20, seed: int = 11) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tokens = torch.randint(1, 50, (rows, 8), generator=generator)
        self.labels = self.tokens.sum(1) % 2

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.labels[index], "index": torch.tensor(index)}


class Collator:
    """Batches of Sentences; remembers the indices of each."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Stack the rows and note whose they are."""
        self.seen.append([int(row["index"]) for row in rows])
        return {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "labels")}


def tiny_config(**changes: Any) -> BertConfig:
    """Two layers, 16 wide, with dropout."""
    settings = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"intermediate_size": 32, "max_position_embeddings": 16, "pad_token_id": 0}
    return BertConfig(**settings | sizes | changes)


def tiny_model(
    seed: int = 5, dtype: torch.dtype = torch.float32, **changes: Any
) -> BertForSequenceClassification:
    """The same weights for the same seed, whatever the global generator's state; that is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSequenceClassification(tiny_config(**changes)).to(dtype)


def tiny_arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Twelve steps of four rows, so 2.4 epochs, on the CPU, logged one by one, nothing saved."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 16,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "logging_steps": 1,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "seed": 3,
    }
    return TrainingArguments(**settings | changes)


def tiny_trainer(
    folder: Path,
    callbacks: Sequence[Any] = (),
    *,
    model: nn.Module | None = None,
    model_init: Callable[[], nn.Module] | None = None,
    kind: type[Trainer] = Trainer,
    **changes: Any,
) -> Trainer:
    """A Trainer on Sentences with a Collator; `changes` go into the TrainingArguments."""
    return kind(
        model=tiny_model() if model is None and model_init is None else model,
        model_init=model_init,
        args=tiny_arguments(folder, **changes),
        train_dataset=Sentences(),
        eval_dataset=Sentences(16, seed=12),
        data_collator=Collator(),
        callbacks=list(callbacks),
    )


def trained(folder: Path, callbacks: Sequence[Any] = (), **changes: Any) -> Trainer:
    """A Trainer after `train()`."""
    trainer = tiny_trainer(folder, callbacks, **changes)
    trainer.train()
    return trainer


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def losses(trainer: Trainer) -> list[float]:
    """The logged losses of training."""
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    """The names whose tensors are not equal bit for bit."""
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]
