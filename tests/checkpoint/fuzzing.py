"""Damaged checkpoints by the thousand: refused with a clear error, or noised exactly as they must be.

python tests/checkpoint/fuzzing.py --cases 100000 --seed 1

Every case is made from its own number, so a defect can be looked at alone: --seed 1 --only 4711.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from layouts import CANARY, a_file, shards, tensors_of
from verdicts import judged

import dither
from dither.checkpoint import Outcome, perturb_checkpoint

METHODS = [
    dither.NoisyTune(seed=1),
    dither.NoisyTune(seed=1),
    dither.NoisyTune(noise_lambda=0.4, seed=2, rounding="stochastic"),
    dither.NoisyTune(noise_lambda=2.0, seed=3, zeros="noise"),
]
SECONDS = 120
"""Longer than this no case may take."""
PYTHON = [os.path.realpath(place) for place in sys.path if place]


@dataclass
class Tally:
    """What became of the cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Reads:
    """The files and folders that this process opens, while asked to watch; it can never be unhooked."""

    def __init__(self) -> None:
        self.paths: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event in ("open", "os.listdir", "os.scandir")
        if self.paths is not None and opens and isinstance(arguments[0], str | bytes | os.PathLike):
            self.paths.append(os.fsdecode(arguments[0]))

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[str]]:
        """The paths opened within the block."""
        self.paths = found = []
        try:
            yield found
        finally:
            self.paths = None


READS = Reads()


def run(cases: range, seed: int = 0) -> Tally:
    """Try the cases of these numbers; nothing is left behind."""
    fast = Path("/dev/shm")
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=fast if os.access(fast, os.W_OK) else None) as name:
        home = Path(name).resolve()
        (home / CANARY).write_bytes(tensors_of(random.Random(0), "abc").file())
        _warmed(home)
        for number in cases:
            began = time.perf_counter()
            problem = _tried(home, random.Random(f"{seed}/{number}"), tally)
            tally.slowest = max(tally.slowest, time.perf_counter() - began)
            if problem:
                tally.defects.append(f"case {number}: {problem}")
    return tally


def _warmed(home: Path) -> None:
    """Load what loads once: it is no read of a case."""
    perturb_checkpoint(home / CANARY, home / "t.safetensors", METHODS[0], names="file")
    for name in ("t.safetensors", "t.dither.json"):
        (home / name).unlink()


def _tried(home: Path, dice: random.Random, tally: Tally) -> str | None:
    """Damage, perturb, judge; returns what is wrong."""
    source, target = home / "s", home / "t"
    (a_file if dice.random() < 0.6 else shards)(dice).write(source)
    method, alone = dice.choice(METHODS), dice.random() < 0.2 and (source / "model.safetensors").is_file()
    if alone:
        source, target = source / "model.safetensors", home / "t.safetensors"
    try:
        with READS.watched() as paths, _time_limit(), mock.patch("os.fsync"):  # the disk is not the question
            outcome = _perturbed(source, target, method)
        if strange := [path for path in paths if not _may_be_read(path, home)]:
            return f"opened {strange[0]}"
        kind, problem = judged(source, target, outcome, method)
        tally.outcomes[kind] += 1
        return problem
    except TimeoutError:
        return f"took more than {SECONDS} s"
    finally:
        left = {*os.listdir(home)} - {"s", "t", "t.safetensors", "t.dither.json", CANARY}
        for name in {"s", "t", *left}:
            shutil.rmtree(home / name, ignore_errors=True)
        for name in ("t.safetensors", "t.dither.json"):
            (home / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _perturbed(source: Path, target: Path, method: dither.NoisyTune) -> Outcome | Exception:
    try:
        return perturb_checkpoint(source, target, method, names="file", block=4096)
    except TimeoutError:
        raise
    except Exception as error:  # what may be raised is judged, not assumed
        return error


def _may_be_read(path: str, home: Path) -> bool:
    """Whether a path, links resolved, leads to source or target, or to where Python looks up versions."""
    real = Path(os.path.realpath(path))
    own = real.is_relative_to(home) and real.name != CANARY
    return own or any(real.is_relative_to(place) for place in PYTHON)


def main() -> int:
    """Try as many cases as asked for, and say what became of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one case")
    options = parser.parse_args()
    cases = range(options.cases) if options.only is None else range(options.only, options.only + 1)
    began, tally = time.perf_counter(), run(cases, options.seed)
    for kind, count in tally.outcomes.most_common():
        print(f"{count:8}  {kind}")
    for defect in tally.defects:
        print(f"DEFECT  {defect}")
    print(
        f"{len(cases)} cases in {time.perf_counter() - began:.0f} s, the slowest {tally.slowest:.2f} s; "
        f"{len(tally.defects)} defects"
    )
    return int(bool(tally.defects))


if __name__ == "__main__":
    sys.exit(main())
