"""Runs on a Ray cluster: the table of a sequential comparison, whatever happens to the nodes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_encoder import plan_of, requests_of, save_encoder, write_task

from dither.bench.compare import look
from dither.bench.executors import RunError, ray_cluster
from dither.bench.executors.ray_cluster import ray_executor
from dither.bench.executors.worker import Outcome
from dither.bench.recording import make_runs
from dither.bench.runs.pulse import read_pulses
from dither.results import Ledger, RunResult

PATIENCE = 120  # seconds for what takes one or two when the machine is idle
EPOCH = "1970-01-01T00:00:00+00:00"
RESULT = {
    "status": "finished",
    "constant_score": 50.0,
    "metrics": {},
    "environment": {},
    "seconds": 0.0,
    "started": EPOCH,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster whose nodes have one core each: at first one node."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="dither-")  # pytest's own folders are too deep for sockets
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # no token goes into the home directory
        patch.setenv("RAY_TMPDIR", folder)  # the cluster's address too, whose folder must exist
        made = Cluster()
        made.node = partial(made.add_node, object_store_memory=80 * 2**20, include_dashboard=False)
        try:
            made.node()
            yield made
        finally:
            made.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ray")
    return write_task(folder / "task"), save_encoder(folder / "encoder")


@pytest.fixture(scope="module")
def requests(films):
    return requests_of(*films, methods=("none", "noisytune"), seeds=(0, 1))


def eventually(holds: Callable[[], Any]) -> Any:
    """What a condition returns as soon as it holds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{holds} does not hold after {PATIENCE} s"
        time.sleep(0.02)
    return found


def workers_with_a_run(node: Any) -> list[psutil.Process]:
    """The workers of a node that make a run: Ray names a process after its task."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children() if child.name().startswith("ray::mine")]


def determined(result: RunResult) -> dict[str, Any]:
    """All of a result but when it was made, how long that took, and how much memory."""
    times = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    history = [{key: row[key] for key in row if key not in times} for row in result.history]
    taken = {"seconds": 0.0, "step_seconds": None, "peak_memory_mb": None, "started": EPOCH}
    taken["training"] = {**result.training, "seconds": 0.0}
    return vars(replace(result, history=history, **taken))


def table(out: Path) -> tuple[dict[str, Any], str]:
    """Every run of a folder, with its predictions, and the whole analysis of them."""
    with Ledger.read(out) as ledger:
        runs = {one.id: determined(one) for one in ledger.results(predictions=True)}
    return runs, repr(look(out).analysis)


def test_a_node_killed_in_the_middle_changes_nothing(cluster, films, tmp_path, caplog):
    plan = plan_of(*films, methods=("none", "noisytune", "pats"), seeds=(0, 1))
    killers = []

    def kill(node: Any) -> None:
        eventually(lambda: workers_with_a_run(node))
        cluster.remove_node(node, allow_graceful=False)

    def after_each(result: RunResult | None, done: int, total: int) -> None:
        if done == 1:  # the comparison goes on with two nodes
            killers.append(threading.Thread(target=kill, args=[cluster.node()]))
            killers[0].start()

    executor, pulses = ray_executor(address=cluster.address), tmp_path / "pulses"
    pulses.mkdir()
    make_runs(plan, tmp_path / "ray", executor=executor, progress=after_each, pulses=str(pulses))
    killers[0].join()
    make_runs(plan, tmp_path / "sequential", jobs=1)
    assert len([one for one in caplog.messages if "was lost with its worker and is made again" in one]) == 1
    runs, analysis = table(tmp_path / "ray")
    assert len(runs) == 6
    assert read_pulses(pulses).keys() == runs.keys()
    assert all(pulse.steps == 0 for pulse in read_pulses(pulses).values())  # nodes write nothing there
    assert (runs, analysis) == table(tmp_path / "sequential")


@pytest.fixture
def instead(monkeypatch) -> Callable[[Callable[..., Any]], None]:
    """Have workers do something else than a run; a local function, which Ray sends whole."""
    return lambda task: monkeypatch.setattr(ray_cluster, "travelling_task", lambda: task)


def test_results_before_an_error_are_kept_and_the_run_is_named(cluster, requests, instead):
    def fail_after_the_first(request: list[Any], wanted: dict[str, str], gpus: float) -> Outcome:
        import ray

        if (spec := ray.get(request[0]).spec).seed:
            raise RuntimeError("ValueError: it broke")
        return Outcome((RunResult(spec=spec, score=80.0, **RESULT),))

    instead(fail_after_the_first)
    results = ray_executor(address=cluster.address, jobs=1)([requests["none", seed] for seed in (0, 1)])
    assert next(results).spec.seed == 0
    message = r"run \(mine/films, none, seed 1\) failed with ValueError: it broke\. What .* is kept; the same"
    with pytest.raises(RunError, match=message) as raised:
        next(results)
    assert "in fail_after_the_first" in str(raised.value.__cause__)


def test_a_run_that_is_lost_again_and_again_is_an_error(cluster, requests, instead, tmp_path, capfd):
    def die(request: list[Any], wanted: dict[str, str], gpus: float) -> None:
        with (tmp_path / "tries").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    instead(die)
    message = r"run \(mine/films, none, seed 0\) was lost 3 times with its worker, .* --jobs.*WorkerCrashed"
    with pytest.raises(RunError, match=message):
        list(ray_executor(address=cluster.address, jobs=1)(list(requests.values())))
    assert (tmp_path / "tries").read_text() == "xxx"
    assert capfd.readouterr().out == ""  # it is for results


@pytest.fixture(params=["its own connection", "a connection that stays"])
def connection(request, cluster) -> Iterator[dict[str, str]]:
    """How an executor is told of the cluster."""
    import ray

    if request.param == "its own connection":
        yield {"address": cluster.address}
        return
    ray.init(cluster.address, log_to_driver=False, logging_level="CRITICAL")
    yield {}
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture
def heard() -> Iterator[None]:
    """Hear Ctrl-C: a shell that runs tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interrupt_ends_what_runs_and_leaves_the_cluster(cluster, connection, requests, instead, tmp_path):
    def stay(request: list[Any], wanted: dict[str, str], gpus: float) -> None:
        (tmp_path / "partial").write_text(str(os.getpid()))
        (tmp_path / "partial").rename(tmp_path / "pid")
        time.sleep(1000)

    def interrupt() -> None:
        eventually((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGINT)

    instead(stay)
    handler = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(ray_executor(**connection)([requests["none", 0]]))
    assert signal.getsignal(signal.SIGTERM) is handler
    eventually(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))
    assert cluster.head_node.remaining_processes_alive()


@pytest.mark.usefixtures("unmoved_random_state")
def test_a_run_that_fits_no_node_is_an_error_at_once(cluster, requests):
    large = replace(requests["none", 0], spec=replace(requests["none", 0].spec, threads=64))
    message = r"no node has room for a run, which takes 64 CPUs .* and 0 GPUs .* is 1 CPUs and 0 GPUs\."
    with pytest.raises(RunError, match=message):
        next(ray_executor(address=cluster.address)([large]))


def test_two_runs_share_a_gpu_and_each_has_a_process_of_its_own(cluster, requests, instead, tmp_path):
    def two_at_once(request: list[Any], wanted: dict[str, str], gpus: float) -> Outcome:
        import ray

        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        here = {"pid": os.getpid(), "gpu": os.environ["CUDA_VISIBLE_DEVICES"], "part": gpus}
        spec = ray.get(request[0]).spec
        return Outcome((RunResult(spec=spec, score=80.0, **{**RESULT, "environment": here}),))

    instead(two_at_once)
    node = cluster.node(num_cpus=2, num_gpus=1)  # to Ray, a number
    three = list(requests.values())[:3]
    results = list(ray_executor(address=cluster.address, gpus_per_run=0.5)(three))
    cluster.remove_node(node, allow_graceful=False)
    assert {result.id for result in results} == {request.spec.id for request in three}
    assert {(one.environment["gpu"], one.environment["part"]) for one in results} == {("0", 0.5)}
    assert len({one.environment["pid"] for one in results}) == 3
