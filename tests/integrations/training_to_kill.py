"""A run that is killed again and again; each start resumes from the newest whole checkpoint.

The parent imports everything once and forks a child for each start, so that a start costs no imports.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tiny_trainer import tiny_model, tiny_trainer

from dither import PATS, NoisyTune
from dither.integrations.hf_checkpoints import latest_checkpoint
from dither.integrations.hf_trainer import NoiseCallback

STEPS = 40
MOMENTS = ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json")


def train(folder: Path) -> None:
    """Start or go on, and leave the final weights in the folder."""
    with (folder / "log.txt").open("a") as log:
        logging.getLogger("dither").addHandler(handler := logging.StreamHandler(log))
        callback = NoiseCallback(NoisyTune(), PATS(noise_lambda=0.5))
        saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 4}
        trainer = tiny_trainer(folder, [callback], model=tiny_model(), max_steps=STEPS, **saving)
        trainer.train(resume_from_checkpoint=latest_checkpoint(folder))
        trainer.save_model(str(folder / "final"))
        handler.flush()


def start(folder: Path) -> int:
    """A child that trains; its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(folder)
            code = 0
        finally:
            os._exit(code)
    return pid


def kill_when(pid: int, is_time: Callable[[], bool]) -> bool:
    """Kill a child at a moment; whether it was alive until then."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
        if is_time():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True


def newest(folder: Path) -> int:
    """The number of the newest checkpoint folder, whole or not."""
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)


def in_a_save(folder: Path, moment: str) -> Callable[[], bool]:
    """True once one of the checkpoints of this start has begun to have the file."""
    before, least = newest(folder), 2 + 2 * (MOMENTS.index(moment) % 2)

    def is_time() -> bool:
        return any((folder / f"checkpoint-{before + step}" / moment).exists() for step in (least, least + 2))

    return is_time


def in_training(folder: Path, dice: random.Random) -> Callable[[], bool]:
    """True a random while after the first or second checkpoint of this start."""
    least, pause = newest(folder) + 2 * dice.randint(1, 2), dice.uniform(0.0, 0.03)

    def is_time() -> bool:
        if newest(folder) < least:
            return False
        time.sleep(pause)
        return True

    return is_time


def main(folder: Path, seed: int) -> None:
    """Train once in one go; then train with a kill in each phase of a save and at random moments."""
    whole, killed = folder / "whole", folder / "killed"
    for path in (whole, killed):
        path.mkdir()
    gc.freeze()  # the Trainer collects garbage at its start; a child need not look at all of torch
    assert not kill_when(start(whole), lambda: False)
    dice = random.Random(seed)
    kills = [kill_when(start(killed), in_a_save(killed, moment)) for moment in MOMENTS]
    kills += [kill_when(start(killed), in_training(killed, dice)) for _ in range(3)]
    reached = newest(killed)
    assert not kill_when(start(killed), lambda: False)
    (folder / "report.json").write_text(json.dumps({"kills": kills, "reached": reached}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
