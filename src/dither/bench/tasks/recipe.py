"""How a task trains: the same recipe for every method."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

PRECISIONS = ("float32", "bf16", "fp16")
"""What training computes in; the weights stay float32."""

HEAD_WEIGHTS = ("new", "file")
"""Where the first weights of a head come from: the run's seed, or the model's file."""


def _setting(low: float, high: float, text: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"range": (low, high), "help": text})


def _choice(among: tuple[str, ...], text: str) -> Any:
    """One of some words, by default the first."""
    return field(default=among[0], metadata={"choices": among, "help": text})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every run of a task trains: AdamW with bias correction, warm-up, linear decay.

    A field's metadata holds its `help` and its `range`, both ends included, or its `choices`; another value
    is a ValueError.

    Example:
        >>> Recipe(learning_rate=2e-5, epochs=3, batch_size=32, max_length=128).warmup_ratio
        0.1
    """

    learning_rate: float = _setting(1e-12, 1, "peak learning rate")
    epochs: float = _setting(0.001, 10_000, "passes over the train split")
    batch_size: int = _setting(1, 1_000_000, "rows in an optimizer step")
    max_length: int = _setting(4, 1_000_000, "tokens kept of an input")
    warmup_ratio: float = _setting(0, 1, "share of the steps in which the learning rate rises", 0.1)
    weight_decay: float = _setting(0, 10, "AdamW's decoupled weight decay", 0.01)
    max_grad_norm: float = _setting(0, math.inf, "norm to which gradients are clipped; 0 = never", 1.0)
    adam_beta1: float = _setting(0, 0.999999, "decay of AdamW's first moment", 0.9)
    adam_beta2: float = _setting(0, 0.9999999, "decay of AdamW's second moment", 0.999)
    adam_epsilon: float = _setting(0, 1, "AdamW's term for numerical stability", 1e-8)
    group_by_length: bool = _setting(False, True, "batches of inputs of like lengths", False)
    precision: str = _choice(PRECISIONS, "what training computes in, by autocast; weights stay float32")
    gradient_accumulation: int = _setting(1, 1_000_000, "parts that a batch is computed in, equally large", 1)
    gradient_checkpointing: bool = _setting(False, True, "compute activations twice to keep fewer", False)
    max_steps: int = _setting(0, 1_000_000_000, "optimizer steps, instead of epochs; 0 = by epochs", 0)
    head_weights: str = _choice(HEAD_WEIGHTS, "the head: drawn from the seed, or that of the model's file")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, text = getattr(self, each.name), each.metadata["help"]
            if type(value) not in ((int, each.type) if each.type is float else (each.type,)):
                raise TypeError(
                    f"{each.name} = {value!r} is no {getattr(each.type, '__name__', '')} ({text})"
                )
            _check(each.name, value, each.metadata)
            if each.type is float:  # 3 and 3.0 are one recipe and one digest
                object.__setattr__(self, each.name, float(value))


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    if (choices := metadata.get("choices")) is not None:
        if value not in choices:
            raise ValueError(f"{name} = {value!r} is none of {', '.join(choices)} ({metadata['help']})")
        return
    low, high = metadata["range"]
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is outside [{low}, {high}] ({metadata['help']})")
