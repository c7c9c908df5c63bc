"""Start a command as several processes, and leave none of them behind: they end with the block or in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
# With --cpu it starts one process only; scripts ask for the CPU themselves.
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
SECONDS = 300.0
_MARK = "DITHER_TEST_LAUNCH"


class Launch:
    """A launcher and the processes that it started; the launcher gives each a session of its own.

    Attributes:
        process: the launcher.
    """

    def __init__(self, *words: object, launcher: tuple[str, ...] = TORCHRUN) -> None:
        self._mark = f"{_MARK}={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        folders = [str(Path(__file__).parents[1] / name) for name in ("distributed", "bench", "integrations")]
        paths = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher, *map(str, words)],
            env=os.environ | {name: value, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def members(self) -> list[int]:
        """The processes of the launch that are alive, known by their environment, orphans too."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:  # it ended meanwhile, or is somebody else's
                continue
            if self._mark.encode() in environment:  # that of a zombie is empty
                found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End what is left, from one moment to the next."""
        for pid in self.members():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def wait_until(self, is_time: Callable[[], object]) -> None:
        """Wait for a moment; fail if the launcher ends before, or it takes too long."""
        end = time.monotonic() + SECONDS
        while not is_time():
            assert self.process.poll() is None, self.process.communicate()[1][-3000:]
            assert time.monotonic() < end
            time.sleep(0.01)

    def wait_until_gone(self) -> None:
        """Fail if a process outlives the launcher for good."""
        self.process.wait(SECONDS)
        end = time.monotonic() + SECONDS
        while left := self.members():
            assert time.monotonic() < end, f"still alive: {left}"
            time.sleep(0.05)

    def finished(self) -> tuple[int, str, str]:
        """Exit status, standard output and standard error, once the launcher has ended."""
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


@contextmanager
def launched(*words: object, launcher: tuple[str, ...] = TORCHRUN) -> Iterator[Launch]:
    """A script, or `-m` and a module, with its arguments, as two processes."""
    launch = Launch(*words, launcher=launcher)
    try:
        yield launch
    finally:
        launch.kill()
        launch.process.communicate()


def done(*words: object, launcher: tuple[str, ...] = TORCHRUN) -> tuple[str, str]:
    """Standard output and standard error of a command that must end well."""
    with launched(*words, launcher=launcher) as launch:
        status, out, err = launch.finished()
    assert status == 0, err.partition("torch/distributed/elastic")[0][-3000:]  # torchrun says much itself
    return out, err
