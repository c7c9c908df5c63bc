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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_trainer import tiny_model, tiny_trainer
from torch import distributed
from transformers import TrainerCallback, TrainerState, modeling_utils

from dither import PATS, NoisyTune
from dither.integrations.hf_checkpoints import latest_checkpoint
from dither.integrations.hf_trainer import NoiseCallback

MOMENTS = ("model.safetensors", "optimizer.pt", "rng_state", "trainer_state.json")
STEPS_IN_SAVES, STEPS_A_KILL = 24, 8
SURVIVAL = 300.0


@dataclass(frozen=True)
class Hold:
    """Where a run waits to be killed, so that no kill can come too late, however busy the machine is.

    Attributes:
        released: a file; those that survive go on when it is there.
        limit: the step after which it waits.
        moment: beginning of a file's name; it waits when that is written into one of the folders.
        folders: of checkpoints.
    """

    released: Path
    limit: int
    moment: str = ""
    folders: tuple[Path, ...] = ()

    def wait(self) -> None:
        """Wait to be killed or released."""
        while not self.released.exists():
            time.sleep(0.005)

    def wait_after(self, place: object, name: str) -> None:
        """Wait after a call of a function that writes the file."""
        real = getattr(place, name)

        def call(*arguments: Any, **options: Any) -> Any:
            made = real(*arguments, **options)
            paths = [Path(one) for one in arguments if isinstance(one, str | Path)]
            if any(path.name.startswith(self.moment) and path.parent in self.folders for path in paths):
                self.wait()
            return made

        setattr(place, name, call)

    def callback(self) -> TrainerCallback:
        """Waits after the step of the limit."""
        hold = self

        class Waiting(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                if state.global_step >= hold.limit:
                    hold.wait()

        return Waiting()


def train(folder: Path, steps: int, hold: Hold | None = None) -> None:
    """Start or go on, and leave the final weights in the folder."""
    callbacks = []
    if hold is not None:
        callbacks.append(hold.callback())
        if hold.moment:
            writers = [(torch, "save"), (modeling_utils, "safe_save_file"), (TrainerState, "save_to_json")]
            for place, name in writers:
                hold.wait_after(place, name)
    with (folder / "log.txt").open("a") as log:
        logging.getLogger("dither").addHandler(handler := logging.StreamHandler(log))
        callback = NoiseCallback(NoisyTune(), PATS(noise_lambda=0.5))
        saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 4}
        trainer = tiny_trainer(folder, [callback, *callbacks], model=tiny_model(), max_steps=steps, **saving)
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

    def start(self, hold: Hold | None = None) -> list[int]:
        """Children that train; their process ids."""
        self._starts += 1
        return [self._child(rank, hold) for rank in range(self._processes)]

    def _child(self, rank: int, hold: Hold | None) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if self._processes > 1:
                    join(self.folder / f"meeting-{self._starts}", rank, self._processes)
                train(self.folder, self._steps, hold)
                code = 0
            finally:
                os._exit(code)
        return pid

    def finish(self) -> None:
        """Train to the end."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.start()]
        assert not any(codes), codes

    def kill_when(self, is_time: Callable[[], bool], hold: Hold, victims: slice) -> None:
        """Start, and kill some of the processes at a moment; the others must end by themselves, not well."""
        pids = self.start(hold)
        while not is_time():
            if os.waitpid(pids[0], os.WNOHANG)[0]:
                self.kills.append(False)
                return
        for pid in pids[victims]:
            os.kill(pid, signal.SIGKILL)
        hold.released.touch()
        self.kills.append(all(ended(pid) for pid in pids))

    def newest(self) -> int:
        """The number of the newest checkpoint folder, whole or not."""
        return max((int(path.name.split("-")[1]) for path in self.folder.glob("checkpoint-*")), default=0)

    def _hold(self, limit: int, *saving: Any) -> Hold:
        return Hold(self.folder / f"released-{self._starts}", limit, *saving)

    def in_a_save(self, moment: str) -> tuple[Callable[[], bool], Hold]:
        """True once one of the checkpoints of this start has begun to have the file."""
        before, least = self.newest(), 2 + 2 * (MOMENTS.index(moment) % 2)
        folders = tuple(self.folder / f"checkpoint-{before + step}" for step in (least, least + 2))
        hold = self._hold(before + least + 3, moment, folders)
        return lambda: any(any(folder.glob(f"{moment}*")) for folder in folders), hold

    def in_training(self, dice: random.Random) -> tuple[Callable[[], bool], Hold]:
        """True a random while after the first or second checkpoint of this start."""
        least, pause = self.newest() + 2 * dice.randint(1, 2), dice.uniform(0.0, 0.03)

        def is_time() -> bool:
            if self.newest() < least:
                return False
            time.sleep(pause)
            return True

        return is_time, self._hold(least + 3)


def main(folder: Path, seed: int, kills: int, processes: int) -> None:
    """Train once in one go; then train with a kill in each phase of a save and at random moments."""
    gc.freeze()  # the Trainer collects garbage at its start; a child need not look at all of torch
    steps = STEPS_IN_SAVES + STEPS_A_KILL * kills
    Killing(folder / "whole", steps, processes).finish()
    killed, dice = Killing(folder / "killed", steps, processes), random.Random(seed)
    victims = [slice(None), *(slice(rank, rank + 1) for rank in range(processes))]
    for moment in MOMENTS:
        # All of them first: then a checkpoint without its optimizer is there for certain.
        some = victims[0] if moment == MOMENTS[0] else dice.choice(victims)
        killed.kill_when(*killed.in_a_save(moment), some)
    for _ in range(kills):
        killed.kill_when(*killed.in_training(dice), dice.choice(victims))
    reached = killed.newest()
    killed.finish()
    report = {"kills": killed.kills, "reached": reached, "steps": steps}
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
