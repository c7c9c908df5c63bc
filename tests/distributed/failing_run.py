"""`dither` with runs that fail in one process alone: python failing_run.py RANK FIRST_BAD_RUN ARGUMENTS..."""

from __future__ import annotations

import os
import sys
from itertools import count

from transformers import Trainer

from dither.cli import main

rank, first_bad = int(sys.argv[1]), int(sys.argv[2])
runs = count()
trained = Trainer.training_step


def failing(self, *args, **kwargs):
    """A step that raises in the midst of a run, where the other process waits for its gradients."""
    if self.state.global_step == 2 and next(runs) >= first_bad:
        raise MemoryError("no memory is left in this process")
    return trained(self, *args, **kwargs)


if os.environ["RANK"] == str(rank):
    Trainer.training_step = failing
sys.exit(main(sys.argv[3:]))
