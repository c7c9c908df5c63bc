"""How long the training steps of a run take."""

import time
from typing import Any

from transformers import TrainerCallback


class Stopwatch(TrainerCallback):
    """Add up the time between the beginning and the end of every optimizer step.

    Forward, backward, clipping, the step, and what hooks do after it; not the making of batches, the logging
    or the evaluation. On a GPU the time counts in which the process is at work or waits.

    Attributes:
        seconds: of all steps so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is done."""
        self.seconds += time.perf_counter() - self._began
