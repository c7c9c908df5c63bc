"""The callback that lets a run tell how far it is; a run without it is the same to the last bit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import TrainerCallback

from dither.bench.runs.pulse import Pulse


class Reporter(TrainerCallback):
    """Write the pulse of runs when their training begins and at every step that the Trainer logs.

    Args:
        folder: of the pulses.
        run_ids: of the runs that stand on the training.
    """

    def __init__(self, folder: str, run_ids: Sequence[str]) -> None:
        self._folder, self._run_ids = folder, run_ids
        self._pulse = Pulse.now()
        self._write()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The number of steps is known."""
        self._tell(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """A step is logged."""
        self._tell(state, (logs or {}).get("loss"))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What follows is the evaluation."""
        self._tell(state)

    def _tell(self, state: Any, loss: float | None = None) -> None:
        if state.is_world_process_zero:
            loss = self._pulse.loss if loss is None else float(loss)
            self._pulse = replace(self._pulse, step=state.global_step, steps=state.max_steps, loss=loss)
            self._write()

    def _write(self) -> None:
        for run_id in self._run_ids:
            self._pulse.write(self._folder, run_id)
