"""The trace of a sharded model beside that of one process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch.distributed as dist
from sharded_models import Shapes, optimizer_of, sharded, train
from torch import nn
from zoo import STEPS

from dither.bench.runs.trace import Trace


def traced(model: nn.Module, *, leads: bool) -> list[dict[str, Any]]:
    """What a trace finds over the steps of `train`."""
    optimizer = optimizer_of(model)
    state = SimpleNamespace(max_steps=STEPS, global_step=0, is_world_process_zero=leads)
    trace = Trace()
    trace.on_train_begin(None, state, None, model=model, optimizer=optimizer)
    for step in range(STEPS):
        train(model, optimizer, range(step, step + 1))
        state.global_step += 1
    trace.on_train_end(None, state, None)
    return trace.found


def both(way: str, size: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What this process finds with all of them, and what one finds alone."""
    return traced(sharded(way, size), leads=dist.get_rank() == 0), traced(Shapes(), leads=True)
