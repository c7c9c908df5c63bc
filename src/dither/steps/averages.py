"""The moving average of a parameter's sensitivity, in `optimizer.state[p]`."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from dither.core.sharding import is_sharded, same_placements
from dither.methods.targets import Target

AVERAGE = "dither_sensitivity"
"""The key of the moving average in `optimizer.state[p]`."""


def average_of(optimizer: Optimizer, row: Target, dtype: str, *, was_active: bool = False) -> Tensor:
    """The moving average of a parameter, made where there is none; a DTensor where the parameter is one.

    Args:
        optimizer: that steps the parameter.
        row: whose average is meant.
        dtype: in which it is kept; a pure half-precision parameter keeps its own, to which loading casts.
        was_active: an earlier step said something about the parameter, so the average has to be there.

    Raises:
        ValueError: it is lost, or it is of another shape or sharding.
    """
    parameter, state = row.named.parameter, optimizer.state[row.named.parameter]
    wide = parameter.dtype in (torch.float32, torch.float64)
    kept = getattr(torch, dtype) if wide else parameter.dtype
    if AVERAGE not in state:
        if was_active:
            raise ValueError(
                f"the moving average {AVERAGE!r} of {row.named.path!r} is missing in the optimizer's state, "
                "though earlier steps updated it; load a whole checkpoint of the optimizer (where a loader "
                "asks for what it finds: the weights first, then attach, then the optimizer's state), or "
                "attach with reset=True to start afresh"
            )
        state[AVERAGE] = torch.zeros_like(parameter, dtype=kept, memory_format=torch.preserve_format)
    _refuse_foreign(row, state[AVERAGE])
    if state[AVERAGE].dtype != kept:
        # Loading cast it to the parameter's dtype, which holds it exactly.
        state[AVERAGE] = state[AVERAGE].to(kept)
    return state[AVERAGE]


def _refuse_foreign(row: Target, average: Tensor) -> None:
    parameter = row.named.parameter
    if average.shape != parameter.shape or not same_placements(average, parameter):
        raise ValueError(
            f"the moving average of {row.named.path!r} in the optimizer's state is {_layout(average)}, the "
            f"parameter is {_layout(parameter)}; load a checkpoint of this model, of another sharding with "
            "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
        )


def _layout(tensor: Tensor) -> str:
    placed = f", placed as {tensor.placements}" if is_sharded(tensor) else ""  # type: ignore[attr-defined]
    return f"{tuple(tensor.shape)}{placed}"
