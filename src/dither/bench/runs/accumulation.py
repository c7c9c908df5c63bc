"""A Trainer that computes a batch in parts, with the gradient of the whole batch."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from transformers import Trainer

IGNORED = -100
"""A label that the loss leaves out."""


class AccumulatingTrainer(Trainer):
    """Weigh the mean loss of each part by what it is a mean over: rows, or labelled tokens.

        loss = Σ_i n_i loss_i / Σ_i n_i

    The Trainer leaves this to the models, some of which (those for regression, and those with losses of their
    own) then have a gradient that is larger by the number of parts.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.model_accepts_loss_kwargs = True  # what `compute_loss` returns is scaled already

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: Any
    ) -> tuple[list[Any], int]:
        """The parts of a batch, and what its loss is a mean over."""
        parts, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        return parts, sum(map(counted, parts))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The share of a part in the loss of its batch."""
        share = 1.0 if num_items_in_batch is None else counted(inputs) / max(1, num_items_in_batch)
        found = super().compute_loss(model, inputs, return_outputs=return_outputs)
        return (found[0] * share, *found[1:]) if return_outputs else found * share


def counted(inputs: Mapping[str, Tensor]) -> int:
    """What the mean loss of some inputs is a mean over: labelled tokens, or rows.

    Example:
        >>> import torch
        >>> counted({"labels": torch.tensor([[1, 0, -100], [2, -100, -100]])})
        3
        >>> counted({"input_ids": torch.ones(2, 5), "labels": torch.tensor([0.5, 1.0])})
        2
    """
    labels = inputs.get("labels")
    if labels is not None and labels.dim() > 1:
        return int((labels != IGNORED).sum())
    return len(next(iter(inputs.values())))
