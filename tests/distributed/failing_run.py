"""`dither` with runs that fail in one process alone: python failing_run.py RANK FIRST_BAD_RUN ARGUMENTS..."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from transformers import Trainer

from dither.cli import main


def failing(first_bad: int) -> Callable[..., Any]:
    """A training step that raises in the midst of a run, where the other process waits for its gradients."""
    runs, trained = count(), Trainer.training_step

    def step(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 2 and next(runs) >= first_bad:
            raise MemoryError("no memory is left in this process")
        return trained(self, *args, **kwargs)

    return step


if __name__ == "__main__":
    if os.environ["RANK"] == sys.argv[1]:
        Trainer.training_step = failing(int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
