"""`dither compare` by two processes: every training by both, the ledger and the table by the first."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launching import Launch, done, launched
from tiny_encoder import save_encoder, write_task

from dither.results import Ledger, count_trainings

FAILING = Path(__file__).with_name("failing_run.py")
RUNS = 18  # of two tasks that share their nine trainings
GOES_ON = "finished runs are kept, the same command goes on from there"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The TOML files of two small tasks with one train split, and the folder of a tiny encoder."""
    folder = tmp_path_factory.mktemp("films")
    twin = write_task(folder / "twin", name="mine/twin")
    return write_task(folder / "task"), twin, save_encoder(folder / "encoder")


def arguments(films: tuple[Path, Path, Path], out: Path) -> list[object]:
    task, twin, encoder = films
    # So many that there are some left for each stop.
    arms = ["--methods", "none,noisytune,pats", "--seeds", "0-2", "--set", "train.epochs=2"]
    return ["compare", task, twin, "--model", encoder, "--out", out, "--json", *arms]


def recorded(out: Path) -> list[str]:
    """The ids of the runs in the ledger, every one read whole and of two processes."""
    if not (out / "ledger.sqlite").exists():
        return []
    with Ledger.read(out) as ledger:
        runs = list(ledger.results(predictions=True))
    assert all(len(run.predictions["validation"]) == 12 for run in runs)
    assert all(run.spec.processes == 2 for run in runs)
    return [run.id for run in runs]


def scores(printed: str) -> list[tuple[Any, ...]]:
    return [(run["task"], run["method"], run["seed"], run["score"]) for run in json.loads(printed)["runs"]]


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The scores of a comparison in one go."""
    out = tmp_path_factory.mktemp("whole")
    printed, err = done("-m", "dither", *arguments(films, out))
    assert [line for line in err.splitlines() if line.startswith("[1/18]")] != []
    assert len(recorded(out)) == RUNS
    with Ledger.read(out) as ledger:
        assert count_trainings(ledger.results()) == RUNS / 2
    assert [path.name for path in out.iterdir()] == ["ledger.sqlite"]
    return scores(printed)


def fails(launch: Launch, out: Path) -> None:
    """One process has an error in its second run, and the other waits for its gradients."""
    status, _, err = launch.finished()
    assert status == 1
    (said,) = [line for line in err.splitlines() if line.startswith("dither: ")]
    assert "failed with MemoryError: no memory is left in this process. What was recorded is kept" in said


def interrupted(launch: Launch, out: Path) -> None:
    """As Ctrl-C does."""
    before = len(recorded(out))
    launch.wait_until(lambda: len(recorded(out)) > before)
    os.kill(launch.process.pid, signal.SIGINT)
    status, _, err = launch.finished()
    assert err.count(GOES_ON) == (status != 0)  # it may have been done by then


def loses_its_launcher(launch: Launch, out: Path) -> None:
    """It is killed alone: the others must see it themselves."""
    before = len(recorded(out))
    launch.wait_until(lambda: len(recorded(out)) > before)
    launch.process.kill()


STOPS: list[tuple[tuple[object, ...], Callable[[Launch, Path], None]]] = [
    ((FAILING, 1, 1), fails),
    (("-m", "dither"), interrupted),
    (("-m", "dither"), loses_its_launcher),
]


@pytest.mark.slow
def test_a_comparison_that_is_stopped_again_and_again_is_whole_and_goes_on(
    films, whole, tmp_path: Path
) -> None:
    before: list[str] = []
    for start, stops in STOPS:
        with launched(*start, *arguments(films, tmp_path)) as launch:
            stops(launch, tmp_path)
            launch.wait_until_gone()
        now = recorded(tmp_path)
        assert now[: len(before)] == before
        assert len(before) < len(now)
        before = now
    printed, _ = done("-m", "dither", *arguments(films, tmp_path))
    assert sorted(scores(printed)) == sorted(whole)
    assert recorded(tmp_path)[: len(before)] == before
