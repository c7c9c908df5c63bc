"""What holds for processes that were started together, seen from one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import group as group_module
from dither.bench.executors import RunError
from dither.bench.executors import group as executor
from dither.bench.executors.group import follow
from dither.bench.group import Group
from dither.bench.plans.plan import Plan
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.cli import main


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("group")
    return write_task(folder / "task"), save_encoder(folder / "encoder")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Set what a launcher sets."""

    def start(rank: int, size: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(size))

    return start


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch, started) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # some clusters set it for other purposes
    monkeypatch.delenv("RANK", raising=False)
    assert Group.here() == Group(0, 1)
    started(0, 1)
    assert Group.here() == Group(0, 1)
    started(3, 4)
    assert Group.here() == Group(3, 4)
    assert not Group.here().leads


def test_processes_share_the_batch_of_a_run(films, started) -> None:
    alone = plan_of(*films)
    started(0, 4)
    plan = plan_of(*films)
    (request,) = plan.requests()
    assert request.spec.processes == plan.processes == plan.experiment("compare").processes == 4
    assert request.spec.id != next(alone.requests()).spec.id


@pytest.mark.parametrize(
    ("size", "way_out"), [(3, "start 1 or 2 or 4 or 8, or --set train.batch_size=6"), (16, "batch_size=16")]
)
def test_a_batch_that_cannot_be_shared_is_refused(films, started, size: int, way_out: str) -> None:
    started(0, size)
    message = f"'mine/films' trains in batches of 8, which {size} processes cannot share equally.*{way_out}"
    with pytest.raises(ValueError, match=message):
        plan_of(*films)
    assert plan_of(*films, f"train.batch_size={size}").processes == size


def test_a_run_for_other_processes_is_refused(films, started, monkeypatch: pytest.MonkeyPatch) -> None:
    started(0, 2)
    (request,) = plan_of(*films).requests()
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match=r"is planned for 2 processes together and 1 are here; .*torchrun"):
        run(request)


def test_several_runs_at_a_time_are_refused(films, started, tmp_path: Path) -> None:
    started(0, 2)
    plan = plan_of(*films)
    with pytest.raises(ValueError, match=r"--jobs is 2, but 2 processes were started together .* leave that"):
        make_runs(plan, tmp_path / "out", jobs=2)
    with pytest.raises(ValueError, match="another executor was given, but 2 processes"):
        make_runs(plan, tmp_path / "out", executor=lambda requests: (run(row) for row in requests))
    assert not (tmp_path / "out").exists()


def test_a_process_with_another_plan_is_named(films, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "told", lambda self, topic, wait: ["0" * 32])
    for name in ("_be_silent", "_end_with_launcher"):  # pytest does neither
        monkeypatch.setattr(executor, name, lambda: None)
    with pytest.raises(RunError, match="process 1 of 2 has another plan than the first one: run 0000"):
        follow(plan_of(*films).requests(), Group(1, 2))


class Store:
    """As much of a launcher's store as an error needs."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.values: dict[str, str] = {}

    def add(self, key: str, amount: int) -> int:
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def wait(self, keys: list[str], timeout: object) -> None:
        assert all(key in self.values for key in keys)


def test_an_error_of_all_is_said_once(films, started, tmp_path, monkeypatch, capsys) -> None:
    store = Store()
    monkeypatch.setattr(group_module, "_store", lambda group: store)
    for rank in (1, 0):
        started(rank, 2)
        assert main(["finetune", "no/task", "--model", str(films[1]), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("dither: unknown task 'no/task'") == 1


def test_an_error_is_said_where_the_store_is_gone(started, monkeypatch, capsys) -> None:
    def gone(group: Group) -> Store:
        raise RuntimeError("no connection")

    monkeypatch.setattr(group_module, "_store", gone)
    Group(1, 2).complain("dither: a reason")
    assert capsys.readouterr().err == "dither: a reason\n"


def test_the_others_make_the_trainings_that_the_first_one_names(films, tmp_path, monkeypatch) -> None:
    twin = write_task(tmp_path, name="mine/twin")
    plan = Plan.create([str(films[0]), str(twin)], str(films[1]), {"none": {}}, [0, 1])
    requests = list(plan.requests())
    (shared,) = [one for one in plan.trainings() if one.spec.seed == 1]
    asked = {"run 1": [one.spec.id for one in shared.runs], "run 2": [requests[1].spec.id], "run 3": None}
    monkeypatch.setattr(Group, "told", lambda self, topic, wait: asked[topic])
    for name in ("_be_silent", "_end_with_launcher"):  # pytest does neither
        monkeypatch.setattr(executor, name, lambda: None)
    made: list[str] = []
    monkeypatch.setattr(executor, "run_together", lambda request: made.append(request.name) or iter(()))
    follow(requests, Group(1, 2))
    assert made == ["mine/films + mine/twin, none, seed 1", "mine/twin, none, seed 0"]
