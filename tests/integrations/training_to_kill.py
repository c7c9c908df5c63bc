"""A run that is killed again and again; each start resumes from the newest whole checkpoint.

The parent imports everything once and forks the processes of each start, so that a start costs no imports.
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
from torch import distributed

from dither import PATS, NoisyTune
from dither.integrations.hf_checkpoints import latest_checkpoint
from dither.integrations.hf_trainer import NoiseCallback

MOMENTS = ("model.safetensors", "optimizer.pt", "rng_state", "trainer_state.json")
STEPS_IN_SAVES, STEPS_A_KILL = 24, 8
SURVIVAL = 30.0


def train(folder: Path, steps: int) -> None:
    """Start or go on, and leave the final weights in the folder."""
    with (folder / "log.txt").open("a") as log:
        logging.getLogger("dither").addHandler(handler := logging.StreamHandler(log))
        callback = NoiseCallback(NoisyTune(), PATS(noise_lambda=0.5))
        saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 4}
        trainer = tiny_trainer(folder, [callback], model=tiny_model(), max_steps=steps, **saving)
        trainer.train(resume_from_checkpoint=latest_checkpoint(folder))
        trainer.save_model(str(folder / "final"))
        handler.flush()


def join(meeting: Path, rank: int, processes: int) -> None:
    """Become one of the processes of a start, as a launcher does it, but without a port."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "localhost"}
    place = f"file://{meeting.absolute()}"
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=processes)
    assert distributed.get_world_size() == processes


def ended(pid: int) -> int:
    """The exit status of a child; it must end within a while."""
    end = time.monotonic() + SURVIVAL
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"a process waited {SURVIVAL} s for one that was killed")


class Killing:
    """A folder in which a run is started, and killed, until it is done.

    Attributes:
        kills: of each start, whether the run was alive when it was to be killed.
    """

    def __init__(self, folder: Path, steps: int, processes: int) -> None:
        self.folder = folder
        self._steps = steps
        self._processes = processes
        self._starts = 0
        self.kills: list[bool] = []
        folder.mkdir()

    def start(self) -> list[int]:
        """Children that train; their process ids."""
        self._starts += 1
        return [self._child(rank) for rank in range(self._processes)]

    def _child(self, rank: int) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if self._processes > 1:
                    join(self.folder / f"meeting-{self._starts}", rank, self._processes)
                train(self.folder, self._steps)
                code = 0
            finally:
                os._exit(code)
        return pid

    def finish(self) -> None:
        """Train to the end."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.start()]
        assert not any(codes), codes

    def kill_when(self, is_time: Callable[[], bool], victims: slice) -> None:
        """Start, and kill some of the processes at a moment; the others must end by themselves, not well."""
        pids = self.start()
        while not is_time():
            if os.waitpid(pids[0], os.WNOHANG)[0]:
                self.kills.append(False)
                return
        for pid in pids[victims]:
            os.kill(pid, signal.SIGKILL)
        self.kills.append(all(ended(pid) for pid in pids))

    def newest(self) -> int:
        """The number of the newest checkpoint folder, whole or not."""
        return max((int(path.name.split("-")[1]) for path in self.folder.glob("checkpoint-*")), default=0)

    def in_a_save(self, moment: str) -> Callable[[], bool]:
        """True once one of the checkpoints of this start has begun to have the file."""
        before, least = self.newest(), 2 + 2 * (MOMENTS.index(moment) % 2)
        folders = [self.folder / f"checkpoint-{before + step}" for step in (least, least + 2)]
        return lambda: any(any(folder.glob(f"{moment}*")) for folder in folders)

    def in_training(self, dice: random.Random) -> Callable[[], bool]:
        """True a random while after the first or second checkpoint of this start."""
        least, pause = self.newest() + 2 * dice.randint(1, 2), dice.uniform(0.0, 0.03)

        def is_time() -> bool:
            if self.newest() < least:
                return False
            time.sleep(pause)
            return True

        return is_time


def main(folder: Path, seed: int, kills: int, processes: int) -> None:
    """Train once in one go; then train with a kill in each phase of a save and at random moments."""
    gc.freeze()  # the Trainer collects garbage at its start; a child need not look at all of torch
    steps = STEPS_IN_SAVES + STEPS_A_KILL * kills
    Killing(folder / "whole", steps, processes).finish()
    killed, dice = Killing(folder / "killed", steps, processes), random.Random(seed)
    victims = [slice(None), *(slice(rank, rank + 1) for rank in range(processes))]
    for moment in MOMENTS:
        killed.kill_when(killed.in_a_save(moment), dice.choice(victims))
    for _ in range(kills):
        killed.kill_when(killed.in_training(dice), dice.choice(victims))
    reached = killed.newest()
    killed.finish()
    report = {"kills": killed.kills, "reached": reached, "steps": steps}
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
