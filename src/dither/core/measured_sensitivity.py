"""The sensitivity of a trained model's weights, measured on some batches: |w · gradient|."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dither.core.histogram import COLUMNS, block_size, count_row
from dither.core.names import NamedParameter, named_parameters
from dither.core.passes import undisturbed
from dither.core.sensitivity import sensitivity
from dither.core.sharding import is_sharded


def mean_sensitivity(model: nn.Module, batches: Iterable[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Mean over batches of |w ⊙ g_b|, with g_b the gradient of the mean loss of batch b, without dropout.

    The absolute value is taken batch by batch, as PATS meets it step by step: gradients that cancel over
    batches still count. The model is as before afterwards: weights, gradients, training mode and the global
    random state.

    Args:
        model: returns an object with the loss in `loss`, as those of transformers do.
        batches: keyword arguments of the model, on its device; one at least.

    Returns:
        Canonical name -> float32 tensor of the parameter's shape, in units of the loss; of tied parameters
        the first, frozen ones left out. A parameter that the loss does not reach has 0 everywhere.

    Raises:
        ValueError: no batch, no parameter to be trained, or a sharded one (DTensor), not supported here.

    Reference:
        Y. Zhang, H. Zhang, S. Wang, W. Wu and Z. Li (2022), "PATS: Sensitivity-aware Noisy Learning for
        Pretrained Language Models", doi 10.18653/v1/2022.emnlp-main.241. Only its abstract was at hand: that
        sensitivity is |w·g|, and that it is averaged like this, is our reconstruction.
    """
    rows = [row for row in named_parameters(model) if row.tied_to is None and row.parameter.requires_grad]
    _check(rows)
    parameters = [row.parameter for row in rows]
    sums = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in parameters]
    count = 0
    with undisturbed(model), torch.enable_grad():
        for batch in batches:
            gradients = torch.autograd.grad(model(**batch).loss, parameters, allow_unused=True)
            count += 1
            for total, parameter, gradient in zip(sums, parameters, gradients, strict=True):
                if gradient is not None:
                    total += sensitivity(parameter.detach(), gradient)
    if not count:
        raise ValueError("sensitivity is measured on batches, and there is none; give one at least")
    return {row.name: total.div_(count) for row, total in zip(rows, sums, strict=True)}


def count_sensitivity(weight: Tensor, gradient: Tensor) -> Tensor:
    """Count |w ⊙ g| over the bins of `dither.core.histogram`, block by block: nothing of its size is made.

    Args:
        weight: of any shape, floating dtype and device; what lies in this process, if it is sharded.
        gradient: alike.

    Returns:
        float64 of shape (65,), on the device: a row of `dither.core.histogram.LogCounts`.

    Example:
        >>> row = count_sensitivity(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0]))
        >>> row[:3].tolist()  # none is not finite, one is 0, and the sum
        [0.0, 1.0, 1.0]
    """
    flat, slopes = weight.detach().reshape(-1), gradient.detach().reshape(-1)
    size = block_size(flat.device)
    row = torch.zeros(COLUMNS, dtype=torch.float64, device=flat.device)
    for at in range(0, flat.numel(), size):
        row += count_row(sensitivity(flat[at : at + size], slopes[at : at + size]))
    return row


def _check(rows: list[NamedParameter]) -> None:
    if not rows:
        raise ValueError("the model has no parameter that is trained; set requires_grad of some to True")
    for row in rows:
        if is_sharded(row.parameter):
            raise ValueError(
                f"parameter {row.path!r} is sharded (DTensor), which measuring sensitivity does not support; "
                "load the trained weights into one process"
            )
