"""What an executor on Ray refuses: options, addresses, nodes without what a run needs; and mixed hardware."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_encoder import plan_of, requests_of, save_encoder, write_task

from dither.bench.compare import look
from dither.bench.executors import ray_cluster, ray_connection, ray_node
from dither.bench.executors.ray_cluster import Share, ray_executor
from dither.bench.executors.ray_node import require_software, run_on_node, software, travelling_task
from dither.bench.recording import make_runs
from dither.bench.runs.request import RunRequest
from dither.bench.runs.run import run
from dither.bench.tasks.files import load_task

NODE = os.uname().nodename


@pytest.fixture(scope="module")
def request_of_a_run(tmp_path_factory) -> RunRequest:
    folder = tmp_path_factory.mktemp("refusals")
    task, encoder = write_task(folder / "task"), save_encoder(folder / "encoder")
    return requests_of(task, encoder, "train.epochs=1")["none", 0]


@pytest.mark.parametrize("part", [-0.5, 0.001, 1.5, 2, float("nan")])
def test_a_part_of_a_gpu_out_of_range(part):
    with pytest.raises(ValueError, match=rf"--gpus-per-run is {part:g}; it must be 0, or from 0.01 to 1"):
        ray_executor(gpus_per_run=part)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_out_of_range(jobs):
    with pytest.raises(ValueError, match=f"--jobs is {jobs}; it must be at least 1"):
        ray_executor(jobs=jobs)


def test_no_requests_start_no_ray(monkeypatch):
    monkeypatch.setattr(ray_cluster, "connected", None)
    assert list(ray_executor()([])) == []


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"--executor ray needs Ray: pip install 'dither\[ray\]'"):
        ray_executor()


@pytest.mark.parametrize(
    "address", ["", "here", "here:", ":6379", "here:0", "here:65536", "ray://here:10001"]
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match=rf"--address is '{address}'; give host:port .* 'auto' .* no --addr"):
        ray_executor(address=address)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine behind which nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_where_nobody_listens(listener):
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(ConnectionError, match=f"nobody answers at --address 127.0.0.1:{port} .*refused"):
        ray_executor(address=f"127.0.0.1:{port}")


def test_where_no_ray_answers(listener, monkeypatch):
    monkeypatch.setattr(ray_connection, "_PROBE_SECONDS", 3.0)
    port = listener.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"what answers at --address 127.0.0.1:{port} is no Ray that"):
        ray_executor(address=f"127.0.0.1:{port}")


def test_what_ray_says_is_told(listener, monkeypatch):
    monkeypatch.setattr(ray_connection, "_PROBE", "raise RuntimeError('Version mismatch')")
    port = listener.getsockname()[1]
    message = r"cannot be joined: RuntimeError: Version mismatch \(where it has a token, .*\); give host:port"
    with pytest.raises(ConnectionError, match=message):
        ray_executor(address=f"127.0.0.1:{port}")


def test_another_version_is_named_with_the_node():
    wanted = {**software(), "torch": "0.1", "noise recipe": "0"}
    with pytest.raises(
        RuntimeError, match=rf"node {NODE} has torch .* instead of 0\.1, noise recipe .* of 0"
    ):
        require_software(wanted)
    assert require_software(software()) is None


def test_a_build_for_another_device_is_no_other_version(monkeypatch):
    plain = software()
    monkeypatch.setattr(ray_node, "versions", lambda: {**plain, "torch": plain["torch"] + "+cu130"})
    assert require_software({key: plain[key] for key in plain if key != "noise recipe"}) is None


def test_a_node_without_dither_says_so():
    from ray import cloudpickle

    program = (
        "import sys; sys.modules['dither'] = None\n"
        "from ray import cloudpickle\n"
        "cloudpickle.load(sys.stdin.buffer)([], {}, 0.0)"
    )
    sent = cloudpickle.dumps(travelling_task())
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True)
    assert f"RuntimeError: dither cannot be loaded on node {NODE} (" in done.stderr.decode()


@pytest.mark.parametrize("what", ["--data-dir", "the folder of task mine/films", "the folder of model"])
def test_a_folder_that_a_node_lacks_is_named(request_of_a_run, tmp_path, what):
    away, one = tmp_path / "away", request_of_a_run
    changes = {
        "--data-dir": {"data_dir": str(away)},
        "the folder of task mine/films": {"task": replace(one.task, folder=away)},
        "the folder of model": {"source": replace(one.source, folder=away)},
    }
    message = rf"{what}.* is not there: {away}; every node reads it at this path.* \(on node {NODE}\)"
    with pytest.raises(RuntimeError, match=message):
        run_on_node(replace(one, **changes[what]), 0.0)


def test_another_model_at_the_same_path_is_refused(request_of_a_run):
    source = replace(request_of_a_run.source, digest="other")
    with pytest.raises(RuntimeError, match=rf"has other files than .* \(on node {NODE}\)"):
        run_on_node(replace(request_of_a_run, source=source), 0.0)


def test_the_builtin_model_is_that_of_the_node(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(ray_node, "run_for_sending", seen.append)
    monkeypatch.setattr(ray_node, "be_quiet", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    one = requests_of("builtin/sentiment", "builtin")["none", 0]
    run_on_node(replace(one, source=replace(one.source, folder=tmp_path / "elsewhere")), 0.5)
    assert seen[0].source == one.source
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    run_on_node(one, 0.0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("cpus", "gpus", "nodes", "room"),
    [
        (1, 0, [{"CPU": 2}, {"CPU": 3.5}, {}], 5),
        (2, 0, [{"CPU": 3}, {"CPU": 1}], 1),
        (1, 0.1, [{"CPU": 64, "GPU": 1}], 10),
        (1, 0.3, [{"CPU": 64, "GPU": 1}, {"CPU": 64}], 3),
        (1, 1, [{"CPU": 2, "GPU": 8}], 2),
    ],
)
def test_how_many_runs_nodes_have_room_for(cpus, gpus, nodes, room):
    assert Share(cpus, gpus).room(nodes) == room


@pytest.mark.parametrize(("asked", "gpus"), [(None, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_a_gpu_for_each_run_where_there_are_any(monkeypatch, asked, gpus):
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}])
    assert Share.on_cluster(1, asked).gpus == gpus
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 4.0}])
    assert Share.on_cluster(1, None).gpus == 0.0


def test_mixed_hardware_is_said(request_of_a_run, tmp_path):
    plan = plan_of(
        request_of_a_run.task.folder / "films.toml",
        request_of_a_run.source.folder,
        "train.epochs=1",
        methods=("none", "noisytune"),
    )

    def on_two_nodes(requests):
        for hardware, request in zip(
            ({"cpu": "Old"}, {"cpu": "New", "device": "H100"}), requests, strict=True
        ):
            result = run(request)
            yield replace(result, environment={**result.environment, **hardware})

    make_runs(plan, tmp_path, executor=on_two_nodes)
    cpu, device = look(tmp_path).warnings[:2]
    unlike = "in 1 of 1 pairings (same task and seed) the methods are not run alike."
    assert cpu == f"The runs differ in cpu: Old (1 run), New (1 run); {unlike}"
    assert device == f"The runs differ in device: cpu (1 run), H100 (1 run); {unlike}"


def test_the_task_that_one_trains_on_has_a_folder_too(request_of_a_run, tmp_path):
    mining = load_task("builtin/mining")
    task = replace(mining, trained=replace(request_of_a_run.task, folder=Path("elsewhere")))
    request = ray_cluster._from_anywhere(replace(request_of_a_run, task=task))
    assert request.task.learned.folder == Path("elsewhere").absolute()
    with pytest.raises(RuntimeError, match=rf"the folder of task mine/films is not there: .*on node {NODE}"):
        run_on_node(request, gpus=0)
